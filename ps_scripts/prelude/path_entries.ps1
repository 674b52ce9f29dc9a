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

# ---- an entry of others that is taken out, and put back where it was

function Test-SameEntry([string]$One, [string]$Other) { [string]::Equals($One, $Other, [StringComparison]::OrdinalIgnoreCase) }

function Get-PathWithout([string]$Path, [string]$Entry) {
    @($Path.Split([char[]]';') | Where-Object { -not (Test-SameEntry $_ $Entry) }) -join ';'
}

# Kind path_removal: the whole PATH as it was, so that undo finds the entry's place again.
function Remove-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    Save-Before 'path_removal' $Entry ([string]$path.value)
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value (Get-PathWithout $path.value $Entry) -Type $path.type
}

# PATH with the entry as often as it was. Where nothing before its old place has changed, it goes there; else
# behind the nearest entry that stood before it and is still there, else before the nearest that stood
# behind it. What others have added or taken out meanwhile stays so.
function Join-PathEntry([string]$Path, [string]$Entry, [string]$Before) {
    if ([string]::Equals($Path, (Get-PathWithout $Before $Entry))) { return $Before }
    $now = New-Object Collections.ArrayList
    if ($Path) { $now.AddRange($Path.Split([char[]]';')) }
    $then = $Before.Split([char[]]';')
    $missing = @($then | Where-Object { Test-SameEntry $_ $Entry }).Count - @($now | Where-Object { Test-SameEntry $_ $Entry }).Count
    for ($i = 0; $i -lt $then.Count -and $missing -gt 0; $i++) {
        if (-not (Test-SameEntry $then[$i] $Entry)) { continue }
        $missing--
        $place = $null
        if ($now.Count -ge $i -and [string]::Equals(($now.GetRange(0, $i).ToArray() -join ';'), (@($then | Select-Object -First $i) -join ';'))) { $place = $i }
        for ($j = $i - 1; $j -ge 0 -and $null -eq $place; $j--) {
            for ($k = 0; $then[$j] -and $k -lt $now.Count; $k++) { if ([string]::Equals($now[$k], $then[$j])) { $place = $k + 1 } }
        }
        for ($j = $i + 1; $j -lt $then.Count -and $null -eq $place; $j++) {
            for ($k = $now.Count - 1; $then[$j] -and $k -ge 0; $k--) { if ([string]::Equals($now[$k], $then[$j])) { $place = $k } }
        }
        if ($null -eq $place) { $place = $now.Count }
        $now.Insert($place, $then[$i])
    }
    $now.ToArray() -join ';'
}

$Restore.path_removal = {
    param($Entry, $Before)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { $path = @{ value = ''; type = 'ExpandString' } }
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value (Join-PathEntry $path.value $Entry $Before) -Type $path.type
}
