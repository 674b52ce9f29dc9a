# ---- prelude: path_entries -------------------------------------------------------------------------
# Add, remove, and restore entries of the machine's PATH, and nothing else in it.

$MachineEnvironment = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'

function Get-MachinePath {
    $path = Get-RegistryValue $MachineEnvironment Path
    if ($path) { return $path }
    @{ value = ''; type = 'ExpandString' }
}

function Set-MachinePath([string]$Value, [string]$Type) {
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value $Value -Type $Type
}

# ---- entries that this script adds

function Test-PathEntry([string]$Entry) {
    $entries = @((Get-MachinePath).value -split ';' | ForEach-Object { (Expand-Path $_).TrimEnd('\') })
    $entries -contains $Entry.TrimEnd('\')
}

function Add-PathEntry([string]$Entry) {
    $path = Get-MachinePath
    Save-Before 'path_entry' $Entry $null
    Set-MachinePath ($path.value + ';' + $Entry) $path.type
}

# Return the lines of the record for entries that an earlier run added and these settings no longer have.
function Get-ObsoletePathEntry([string[]]$Wanted) {
    @(Read-Record | Where-Object { $_.kind -eq 'path_entry' -and $Wanted -notcontains $_.key })
}

$Restore.path_entry = {
    param($Entry)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $appended = ';' + [regex]::Escape($Entry) + '(?=;|$)'
    Set-MachinePath ([regex]::Replace($path.value, $appended, '')) $path.type
}

# ---- entries of other programs that this script removes, and undo restores

# Windows compares paths without regard to case.
function Test-SameEntry([string]$One, [string]$Other) {
    [string]::Equals($One, $Other, [StringComparison]::OrdinalIgnoreCase)
}

function Get-PathWithout([string]$Path, [string]$Entry) {
    @($Path.Split([char[]]';') | Where-Object { -not (Test-SameEntry $_ $Entry) }) -join ';'
}

# The record keeps the whole PATH, because undo needs the neighbors of the entry.
function Remove-PathEntry([string]$Entry) {
    $path = Get-MachinePath
    Save-Before 'path_removal' $Entry ([string]$path.value)
    Set-MachinePath (Get-PathWithout $path.value $Entry) $path.type
}

# Return $Path, the PATH of today, with the entry as often as in $Before, the PATH before the removal. Other entries
# that were added or removed since then stay as they are.
function Join-PathEntry {
    param([string]$Path, [string]$Entry, [string]$Before)
    if ([string]::Equals($Path, (Get-PathWithout $Before $Entry))) { return $Before }   # nothing else has changed
    $now = New-Object Collections.Generic.List[string]
    if ($Path) { $now.AddRange($Path.Split([char[]]';')) }
    $then = $Before.Split([char[]]';')
    $missing = (Get-EntryCount $then $Entry) - (Get-EntryCount $now.ToArray() $Entry)
    for ($i = 0; $i -lt $then.Count -and $missing -gt 0; $i++) {
        if (-not (Test-SameEntry $then[$i] $Entry)) { continue }
        $now.Insert((Get-EntryPlace $now.ToArray() $then $i), $then[$i])
        $missing--
    }
    $now.ToArray() -join ';'
}

function Get-EntryCount([string[]]$Entries, [string]$Entry) {
    @($Entries | Where-Object { Test-SameEntry $_ $Entry }).Count
}

# Return the index in $Now at which to insert the entry that had the index $Index in $Then: the same index if all
# entries before it are the same, else after its nearest previous neighbor, else before its nearest next neighbor, else
# the end.
function Get-EntryPlace {
    param([string[]]$Now, [string[]]$Then, [int]$Index)
    if (Test-SameBeginning $Now $Then $Index) { return $Index }
    for ($i = $Index - 1; $i -ge 0; $i--) {
        $found = @(Find-PathEntry $Now $Then[$i])
        if ($found.Count) { return $found[$found.Count - 1] + 1 }
    }
    for ($i = $Index + 1; $i -lt $Then.Count; $i++) {
        $found = @(Find-PathEntry $Now $Then[$i])
        if ($found.Count) { return $found[0] }
    }
    $Now.Count
}

function Test-SameBeginning {
    param([string[]]$One, [string[]]$Other, [int]$Count)
    if ($One.Count -lt $Count) { return $false }
    for ($i = 0; $i -lt $Count; $i++) {
        if (-not [string]::Equals($One[$i], $Other[$i])) { return $false }
    }
    $true
}

# Return each index at which exactly this text is. Empty entries are not found: they do not identify a place.
function Find-PathEntry([string[]]$Entries, [string]$Text) {
    if (-not $Text) { return }
    for ($i = 0; $i -lt $Entries.Count; $i++) {
        if ([string]::Equals($Entries[$i], $Text)) { $i }
    }
}

$Restore.path_removal = {
    param($Entry, $Before)
    $path = Get-MachinePath
    Set-MachinePath (Join-PathEntry $path.value $Entry $Before) $path.type
}
