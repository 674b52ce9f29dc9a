# ---- prelude: evidence -----------------------------------------------------------------------------
# Report each run whose events this host has kept, and the hashes: mode evidence.

# Nothing is changed, and nothing is left on this host. The workstation compares the hashes with its run directories.
$Modes.evidence = {
    $runs = Join-Path $StateFolder 'runs'
    if (-not (Test-Path -LiteralPath $runs)) { return }
    foreach ($folder in [IO.Directory]::GetDirectories($runs) | Sort-Object) {
        $file = Join-Path $folder 'events.jsonl'
        if (-not [IO.File]::Exists($file)) { continue }
        $kept = Get-KeptRun $file
        $script = 'missing'
        if ($kept) { $script = Get-KeptScriptState $runs $kept.script_sha256 }
        $stream = [IO.File]::Open($file, 'Open', 'Read', 'ReadWrite')
        try { $size = $stream.Length; $sha256 = Get-StartSha256 $stream $size } finally { $stream.Close() }
        $name = Split-Path -Leaf $folder
        Write-Event kept @{ id = $name; run = $kept; script = $script; sha256 = $sha256; size = $size }
    }
}

# Return whether the script with this hash is in the folder of a run: kept, changed, or missing.
function Get-KeptScriptState([string]$Runs, [string]$Sha256) {
    $state = 'missing'
    foreach ($folder in [IO.Directory]::GetDirectories($Runs)) {
        $file = Join-Path $folder "$Sha256.ps1"
        if (-not [IO.File]::Exists($file)) { continue }
        $state = 'kept'
        if ((Get-FileSha256 $file) -cne $Sha256) { $state = 'changed' }
    }
    $state
}
