# ---- prelude: host_log -----------------------------------------------------------------------------
# Write to the Windows event log which script changes this host.

# Entries are in the log Application, with a source that stays after undo, as the entries do. PowerShell 7 has no
# Write-EventLog, so .NET writes them.
Add-Hook Started { Write-HostLog 'state=started' }
Add-Hook Finished {
    $reboot = if ($Run.Reboot) { 'true' } else { 'false' }
    Write-HostLog "state=finished outcome=$($Run.Outcome) changed=$($Run.Changed) reboot=$reboot"
}

function Write-HostLog([string]$State) {
    $operator = ConvertTo-AsciiJson (ConvertTo-Json $Run.Operator -Compress)
    $evidence = if ($Run.Evidence) { $Run.Evidence } else { 'none' }
    $text = "run=$($Run.Id) mode=$($Run.Mode) host=$($Settings.host) release=$($Settings.release) " +
    "script=$($Run.Script) evidence=$evidence $State operator=$operator"
    try { Write-LogEntry $text }
    catch {
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning host-log-not-written ('could not write to the Windows event log: {error}. Check whether ' +
            'the EventLog service is running') @{ error = $failure.Message }
    }
}

# The only function that uses the event log: tests have a stand-in for it.
function Write-LogEntry([string]$Text) {
    if (-not [Diagnostics.EventLog]::SourceExists('nbserver')) {
        [Diagnostics.EventLog]::CreateEventSource('nbserver', 'Application')
    }
    [Diagnostics.EventLog]::WriteEntry('nbserver', $Text, 'Information', 1)
}
