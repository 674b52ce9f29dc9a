# ---- prelude: entries of the machine's PATH; the text around ours is never touched ---------------------

$MachineEnvironment = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'

function Test-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    $path -and @($path.value -split ';' | ForEach-Object { (Expand-Path $_).TrimEnd('\') }) -contains $Entry.TrimEnd('\')
}

function Add-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { $path = @{ value = ''; type = 'ExpandString' } }
    Save-Before 'path_entry' $Entry $null
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value ($path.value + ';' + $Entry) -Type $path.type
}

# Entries that an earlier run added and that the settings no longer have.
function Get-FormerPathEntries([string[]]$Wanted) {
    @(Read-Record | Where-Object { $_.kind -eq 'path_entry' -and $Wanted -notcontains $_.key })
}

$Restore.path_entry = {
    param($Entry)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $value = [regex]::Replace($path.value, ';' + [regex]::Escape($Entry) + '(?=;|$)', '')
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value $value -Type $path.type
}
