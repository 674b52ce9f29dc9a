# ---- main ----------------------------------------------------------------------------------------------

function Invoke-Test($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    if ($SkippedSteps -notcontains $Step.Name) { & $Step.Test }
}

function Write-Differences {
    foreach ($difference in $Run.Differences) { Write-Event difference $difference }
}

# What differs from what the steps want. Leaves the host alone. Brackets want nothing for themselves.
function Invoke-Plan {
    foreach ($step in $Steps) {
        if ($step.Bracket) { continue }
        Invoke-Test $step
        if ($Run.Differences.Count) { $Run.Differs = $true }
        if ($Run.Mode -ne 'test') { continue }
        if ($Run.Differences.Count) { Write-Differences } else { Write-Event unchanged }
    }
}

# Apply where something differs, then test again: what is still different then has failed.
function Invoke-Apply($Step) {
    Assert-Kept
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    if ($Run.Reboot) {
        $Run.Outcome = 'reboot'
        Write-Event warning @{ text = 'not done: Windows has to restart first' }
        return
    }
    Write-Event started @{ title = $Step.Title }
    Write-Differences
    & $Step.Apply
    Invoke-Test $Step
    foreach ($left in $Run.Differences) { throw "$($left.what) is still '$($left.is)' instead of '$($left.should)'" }
    if (-not $Step.Bracket) { $Run.Changed++ }
    Write-Event changed
}

# Step after step, to the end or to where Windows has to restart first. What is open then is closed before.
function Invoke-Steps {
    foreach ($step in $Steps) {
        Invoke-Apply $step
        if ($Run.Outcome -eq 'reboot') { break }
    }
    if ($Run.Outcome -ne 'reboot') { return }
    Undo-Record -BracketsOnly
    Complete-BeforeRestart
}

# Nothing differs, so nothing is tested again, and no bracket is opened.
function Write-AllUnchanged {
    foreach ($step in $Steps) {
        $Run.Step = $step.Name
        if (-not $step.Bracket) { Write-Event unchanged }
    }
}

# Puts back what was there before, newest first. What can't be put back stays in the record and is told.
function Undo-Record([switch]$BracketsOnly) {
    $brackets = @($Steps | Where-Object { $_.Bracket } | ForEach-Object { $_.Name })
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    # A service or task that ran before is started when all else is back.
    $started = 'service', 'task_state'
    $lines = @($lines | Where-Object { $started -notcontains $_.kind }) + @($lines | Where-Object { $started -contains $_.kind })
    foreach ($line in $lines) {
        if ($BracketsOnly -and $brackets -notcontains $line.step) { continue }
        $Run.Step = $line.step
        try {
            Undo-Line $line
        }
        catch {
            $Run.Outcome = 'failed'
            Write-Event failed @{ text = "$($line.key) could not be put back: $_. $(Get-Remedy $_.Exception 'Mend what stands in its way, then run undo again')" }
        }
    }
    $Run.Step = ''
}

# What a request for a certificate needs, and then the request: mode request.
function Invoke-Request {
    if ($Settings.certificate.source -ne 'request') { throw 'the certificate of this host is not one that is requested. Write certificate.request = true into the inventory first' }
    foreach ($step in $Steps) {
        if ('preflight', 'tls', 'vc_redist', 'openssl' -contains $step.Name) { Invoke-Apply $step }
        if ($Run.Outcome -eq 'reboot') { Complete-BeforeRestart; return }
    }
    $Run.Step = 'certificate'
    Send-CertificateRequest
}

# A run that changes something holds the lock and keeps its events; a test leaves no trace.
function Start-Run {
    Assert-Scope
    if ($Run.Mode -eq 'events') { return }
    if ('apply', 'request' -contains $Run.Mode) { $Run.Boot = Get-BootTime }
    if ($Run.BootBefore -and (Test-SameBoot $Run.Boot $Run.BootBefore)) { $Run.Outcome = 'waiting'; return }
    if ($Run.Mode -eq 'test') { if (Test-Path -LiteralPath $StateFolder) { Assert-StateFolder } }
    else {
        Initialize-StateFolder
        Enter-Lock
        $folder = Join-Path $StateFolder "runs\$($Run.Id)"
        if (Test-Path -LiteralPath $folder) { throw "run '$($Run.Id)' was here before; a run's name is used once" }
        [void](New-Item -ItemType Directory -Force -Path $folder)
        $Run.EventFile = Join-Path $folder 'events.jsonl'
    }
    Write-Event started @{ run = $Run.Id; boot = $Run.Boot; mode = $Run.Mode; operator = $Run.Operator; release = $Settings.release; host = $Settings.host; script_sha256 = Get-Sha256 ($Utf8.GetBytes($ScriptText)) }
}

function Complete-Run {
    $Run.Step = ''
    Write-Event finished @{ outcome = $Run.Outcome; differs = $Run.Differs; changed = $Run.Changed; reboot = $Run.Reboot; restarting = $Run.Restarting; fingerprint = $Run.Fingerprint }
}

function Invoke-Run {
    $ended = $false
    try {
        Read-Envelope
        Start-Run
        if ($Run.Mode -eq 'events') { Send-EventsAfter $Run.After; $ended = $true; return }
        if ($Run.Outcome -eq 'waiting') { $ended = $true; return }
        if ($Run.Mode -eq 'undo') { Stop-RecordedTasks; Stop-RecordedBackground; Undo-Record; Remove-FileCopies }
        elseif ($Run.Mode -eq 'request') { Invoke-Request }
        else { Invoke-Plan }
        if ($Run.Mode -eq 'apply' -and $Run.Differs) { Invoke-Steps }
        elseif ($Run.Mode -eq 'apply') { Write-AllUnchanged }
        Assert-Kept
        $ended = $true
    }
    catch {
        $ended = $true
        if ($Run.Mode -eq 'events') { throw }   # what this run says must not pass for what the other said
        $Run.Outcome = 'failed'
        $text = [string]$_
        if (Test-DiskFull $_.Exception) { $text += ". $(Get-Remedy $_.Exception)" }
        Write-Event failed @{ text = $text; at = "line $($_.InvocationInfo.ScriptLineNumber)" }
    }
    finally {
        # Not ended: the workstation stopped the pipeline. Brackets are closed all the same.
        if (-not $ended) { $Run.Stopped = $true; $Run.Outcome = 'stopped' }
        if ($Run.Mode -eq 'apply' -and $Run.EventFile) { Undo-Record -BracketsOnly }
        if ($Run.Mode -ne 'events') { Complete-Run }
        Exit-Lock
        $env:PSModulePath = $ModulePath
    }
}

$ScriptText = $MyInvocation.MyCommand.ScriptBlock.ToString()
$EnvelopeLines = @($input)

Invoke-Run | ForEach-Object { if ($Run.Mode -eq 'events' -and $_ -is [string]) { $_ } else { $_ | Out-Event } }

if ($MyInvocation.MyCommand.CommandType -eq 'ExternalScript') {
    if ($Run.Outcome -eq 'reboot') { exit 3010 }
    if ($Run.Outcome -ne 'ok') { exit 3 }
    if ($Run.Reboot) { exit 3010 }
    if ($Run.Mode -eq 'test' -and $Run.Differs) { exit 2 }
}
