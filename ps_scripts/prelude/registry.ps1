# ---- prelude: registry values --------------------------------------------------------------------------

# The raw value (REG_EXPAND_SZ stays unexpanded) and its type; nothing where there is none.
function Get-RegistryValue([string]$Path, [string]$Name) {
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $key = Get-Item -LiteralPath $Path
    if ($key.GetValueNames() -contains $Name) {
        @{ value = $key.GetValue($Name, $null, 'DoNotExpandEnvironmentNames'); type = [string]$key.GetValueKind($Name) }
    }
}

function Compare-RegistryValue([string]$Path, [string]$Name, $Should) {
    $is = Get-RegistryValue $Path $Name
    if (-not $is) { Difference "$Path\$Name" $null $Should }
    elseif (-not [string]::Equals([string]$is.value, [string]$Should)) { Difference "$Path\$Name" $is.value $Should }
}

function Set-RegistryValue([string]$Path, [string]$Name, $Value, [string]$Type) {
    $before = Get-RegistryValue $Path $Name
    # '=' keeps ConvertFrom-Json from taking a text for a date
    if ($before) { $before = @{ type = $before.type; value = @($before.value | ForEach-Object { "=$_" }) } }
    Save-Before 'registry' "$Path|$Name" $before
    Set-ItemProperty -LiteralPath $Path -Name $Name -Value $Value -Type $Type
}

$Restore.registry = {
    param($Key, $Before)
    $path, $name = $Key -split '\|', 2
    if (-not $Before) {
        if (Get-RegistryValue $path $name) { Remove-ItemProperty -LiteralPath $path -Name $name }
        return
    }
    $value = @($Before.value | ForEach-Object { $_.Substring(1) })
    if ($Before.type -eq 'Binary') { $value = [byte[]]$value }
    elseif ($Before.type -ne 'MultiString') { $value = $value[0] }
    Set-ItemProperty -LiteralPath $path -Name $name -Value $value -Type $Before.type
}
