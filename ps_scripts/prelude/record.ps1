# ---- prelude: the record, what was there before a thing was first changed ------------------------------
# One line a thing: step, kind, key, before. Every change below goes through a function of its kind that
# writes here first; $Restore holds how a kind is put back; undo plays the record backwards.

$Restore = @{}

function Save-Before([string]$Kind, [string]$Key, $Before) {
    if (Test-Record $Kind $Key) { return }
    Write-Record (@(Read-Record) + @{ v = 1; step = $Run.Step; kind = $Kind; key = $Key; before = $Before })
}

function Read-Record {
    if (Test-Path -LiteralPath $RecordFile) {
        [IO.File]::ReadAllLines($RecordFile, $Utf8) | ForEach-Object { ConvertFrom-Json $_ }
    }
}

function Test-Record([string]$Kind, [string]$Key) {
    foreach ($line in @(Read-Record)) { if ($line.kind -eq $Kind -and $line.key -eq $Key) { return $true } }
    $false
}

# Puts one thing back now, and takes it off the record.
function Undo-Line($Line) {
    if (-not $Restore.ContainsKey($Line.kind)) { throw "this script cannot put back a '$($Line.kind)'; use the release that wrote it" }
    if ($PathKinds -contains $Line.kind) { Assert-KnownPath $Line.key }
    & $Restore[$Line.kind] $Line.key $Line.before
    Write-Record @(Read-Record | Where-Object { $_.kind -ne $Line.kind -or $_.key -ne $Line.key })
    Write-Event restored @{ kind = $Line.kind; what = $Line.key }
}

# Whole and at once: a torn record would put back the wrong things.
function Write-Record($Lines) {
    $text = -join @($Lines | ForEach-Object { (ConvertTo-Json $_ -Compress -Depth 6) + "`n" })
    Write-TextFile $RecordFile $text
}

# The one writer of text files: UTF-8 without BOM, whole and at once.
function Write-TextFile([string]$Path, [string]$Text, [string]$Secret) {
    foreach ($one in "$Path.new", $Path) { Assert-NoLink $one }
    try {
        [IO.File]::WriteAllText("$Path.new", (Expand-Secret $Text $Secret), $Utf8)
        if (Test-Path -LiteralPath $Path) { [IO.File]::Replace("$Path.new", $Path, [NullString]::Value) }
        else { [IO.File]::Move("$Path.new", $Path) }
    }
    catch {
        if (Test-Path -LiteralPath "$Path.new") { Remove-Item -LiteralPath "$Path.new" -Force }
        throw
    }
}
