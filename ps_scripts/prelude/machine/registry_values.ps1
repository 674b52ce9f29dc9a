# ---- prelude: registry_values ----------------------------------------------------------------------
# Compare, set, and restore values in the registry.

function Compare-RegistryValue {
    param([string]$Path, [string]$Name, $Should)
    $is = $null
    $found = Get-RegistryValue $Path $Name
    if ($found) { $is = $found.value }
    if ($found -and [string]::Equals([string]$is, [string]$Should)) { return }
    Add-Difference registry-value '{key}\{name}' $is $Should @{ key = $Path; name = $Name }
}

# The record has an "=" before each value. Without it, ConvertFrom-Json would convert text that looks like a date.
function Set-RegistryValue {
    param([string]$Path, [string]$Name, $Value, [string]$Type)
    $before = Get-RegistryValue $Path $Name
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
    $value = @($Before.value | ForEach-Object { $_.Substring(1) })   # without the "="
    if ($Before.type -eq 'Binary') { $value = [byte[]]$value }
    elseif ($Before.type -ne 'MultiString') { $value = $value[0] }
    Set-ItemProperty -LiteralPath $path -Name $name -Value $value -Type $Before.type
}
