# ---- prelude: kept_script --------------------------------------------------------------------------
# Save a copy of each script that changes this host.

# A script is kept once, in the folder of the first run that used it: the events of each run have its hash.
Add-Hook Started {
    $name = "$($Run.Script).ps1"
    try {
        if (-not @(Get-ChildItem -Path (Join-Path $StateFolder "runs\*\$name")).Count) {
            Write-TextFile (Join-Path (Split-Path -Parent $Run.EventFile) $name) $ScriptText
        }
    }
    catch {
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning script-not-kept ('could not save a copy of this script in {folder}: {error}. Fix this ' +
            'error (for example, free some disk space), then run nbserver apply again') @{
            folder = Split-Path -Parent $Run.EventFile; error = $failure.Message
        }
    }
}
