# ---- prelude: record -------------------------------------------------------------------------------
# Record for undo the state of each thing before its first change, and restore it.

# A line has a step, a kind, a key, and the state before. Every function that changes something calls Save-Before
# first. $Restore has one script block per kind, which restores that state. Undo goes through the record backwards.
$Restore = @{}
$RegistryValues = @()                                    # those that steps change, as KEY|NAME: undo restores no other

# A line that is already in the record stays as it is, or is replaced with -Replace, in one write.
function Save-Before {
    param([string]$Kind, [string]$Key, $Before, [switch]$Replace)
    if (-not $Replace -and (Test-Record $Kind $Key)) { return }
    $others = @(Read-Record | Where-Object { $_.kind -ne $Kind -or $_.key -ne $Key })
    Write-Record ($others + @{ v = 1; step = $Run.Step; kind = $Kind; key = $Key; before = $Before })
}

# A replacement that fails halfway can leave only the new file. In one that was not written to its end, the last line is
# left out: what it is about has not been changed yet.
function Read-Record {
    if (Test-Path -LiteralPath $RecordFile) { $lines = [IO.File]::ReadAllLines($RecordFile, $Utf8) }
    elseif (Test-Path -LiteralPath "$RecordFile.new") { $lines = @(Read-CompleteLine "$RecordFile.new") }
    else { return }
    for ($i = 0; $i -lt $lines.Count; $i++) {
        if ($lines[$i].Trim()) { ConvertFrom-RecordLine $lines[$i] ($i + 1) }
    }
}

# With an incomplete record, undo would restore the wrong things. So nothing is done.
function ConvertFrom-RecordLine([string]$Text, [int]$Number) {
    $line = ''
    try { $line = ConvertFrom-Json $Text } catch { $line = '' }
    $version = if ($null -ne $line -and $line.PSObject.Properties['v']) { $line.v } else { 1 }
    if (($version -is [int] -or $version -is [long]) -and $version -gt 1) {
        throw (New-Failure record-newer ('line {number} of {path}, the list of what undo restores, has format ' +
                'version {version}: a newer release of nbserver wrote it. Upgrade nbserver on the workstation, then ' +
                'try again') @{
                number = $Number; path = $RecordFile; version = $version
            })
    }
    foreach ($name in 'step', 'kind', 'key', 'before') {
        if ($null -ne $line -and $line.PSObject.Properties[$name]) { continue }
        throw (New-Failure record-damaged ('line {number} of {path}, the list of what undo restores, is not valid. ' +
                'Restore this file from a backup, or correct the line, then try again') @{
                number = $Number; path = $RecordFile
            })
    }
    $line
}

function Test-Record([string]$Kind, [string]$Key) {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq $Kind -and $line.key -eq $Key) { return $true }
    }
    $false
}

# Restore one thing, then remove its line from the record.
function Undo-Line($Line) {
    if (-not $Restore.ContainsKey($Line.kind)) {
        throw (New-Failure unknown-kind ('this nbserver release cannot undo changes of the kind "{kind}", which ' +
                'another release made on this host. Run nbserver undo with that release') @{ kind = $Line.kind })
    }
    if ($PathKinds -contains $Line.kind) { Assert-KnownPath $Line.key }
    Assert-KnownName $Line
    & $Restore[$Line.kind] $Line.key $Line.before
    Remove-Line $Line
    Write-Event restored @{ kind = $Line.kind; what = $Line.key }
}

function Remove-Line($Line) {
    Write-Record @(Read-Record | Where-Object { $_.kind -ne $Line.kind -or $_.key -ne $Line.key })
}

# Whatever the record contains, undo restores only registry values and tasks that this script can have changed, runs
# only programs from folders where it puts them, and keeps what is not for undo to remove.
function Assert-KnownName($Line) {
    $isKnown = switch ($Line.kind) {
        'registry' { $RegistryValues -contains $Line.key }
        'task' { $Line.key -cmatch '\A(nbserver|nbserver-close-[a-z0-9_]+)\z' }
        'msi' { (Split-Path -Parent $Line.key) -eq $CacheFolder }
        'bundle' { (Split-Path -Parent $Line.key) -eq $CacheFolder }
        'inno' { (Split-Path -Parent $Line.key) -eq $Programs }
        'folder' { -not (Test-KeptFolder $Line.key) }
        default { $true }
    }
    if ($isKnown) { return }
    throw (New-Failure record-name-unknown ('{record}, the list of what undo restores, contains a line that nbserver ' +
            'did not write ({kind} {key}). Find out who added this line, remove it, then try again') @{
            kind = $Line.kind; key = $Line.key; record = $RecordFile
        })
}

function Write-Record($Lines) {
    $text = -join @($Lines | ForEach-Object { (ConvertTo-Json $_ -Compress -Depth 6) + "`n" })
    Write-TextFile $RecordFile $text
}

# Replace a text file as a whole, in UTF-8 without BOM. Only events (appended) and the first page (bytes) are written
# elsewhere. The new file replaces the old file at once, so a run that is killed leaves one of the two, never a part.
function Write-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret)
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    $existed = Test-Path -LiteralPath $Path
    try {
        [IO.File]::WriteAllText("$Path.new", (Expand-Secret $Text $Secret), $Utf8)
        Move-Over "$Path.new" $Path
    }
    catch {
        # If Windows has removed the old file, the new one is all that is left.
        if (-not $existed -or (Test-Path -LiteralPath $Path)) { Remove-SingleFile "$Path.new" }
        throw
    }
}
