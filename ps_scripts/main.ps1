# ---- main ------------------------------------------------------------------------------------------
# Run the steps in the mode of the envelope, and report the outcome.

$SkippedSteps = @($Settings.skip)   # neither tested nor applied

function Invoke-Test($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    if ($SkippedSteps -notcontains $Step.Name) { & $Step.Test }
}

function Write-Difference {
    foreach ($difference in $Run.Differences) { Write-Event difference $difference }
}

# Test all steps, which changes nothing. Brackets are only for changes: a test reports those that are still open.
function Invoke-Plan {
    foreach ($step in $Steps) {
        if ($step.Bracket) {
            if (-not (Test-Change)) { Write-OpenBracket $step }
            continue
        }
        Invoke-Test $step
        if ($Run.Differences.Count) { $Run.Differs = $true }
        Read-NewSetting $step.Name
        if (Test-Change) { continue }
        if ($Run.Differences.Count) { Write-Difference } else { Write-Event unchanged }
    }
}

# A run that was cut off leaves its bracket open: the previous state is in the record, and the Test finds no difference.
# The next apply or undo restores it.
function Write-OpenBracket($Step) {
    $Run.Step = $Step.Name
    if (-not @(Read-Record | Where-Object { $_.step -eq $Step.Name }).Count -or (Get-LockOwner)) { return }
    $Run.Differences = New-Object Collections.ArrayList
    & $Step.Test
    if ($Run.Differences.Count) { return }
    Add-Difference bracket-open 'temporary change made by the step {step} in the interrupted run {run}' `
        'in effect' 'undone' @{ step = $Step.Name; run = Get-CutOffRun }
    Write-Difference
    $Run.Differs = $true
}

# Apply a step if something differs, then test it again: a difference that remains is a failure.
function Invoke-Apply($Step) {
    Assert-EventsKept
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    if ($Run.Reboot) {
        $Run.Outcome = 'reboot'
        Write-Notice warning waits-for-restart 'this step was not applied, because Windows must restart first'
        return
    }
    Invoke-Change $Step
}

# Make the change for the differences that were found.
function Invoke-Change($Step) {
    Write-Event started @{ title = $Step.Title }
    Write-Difference
    & $Step.Apply
    Invoke-Test $Step
    foreach ($left in $Run.Differences) {
        throw (New-Failure still-differs ('{what} did not change as expected: expected "{should}", got "{is}". Check ' +
                'whether another program is changing it back, then try again') @{
                what = $left.what; is = $left.is; should = $left.should
            })
    }
    if (-not $Step.Bracket) { $Run.Changed++ }
    Write-Event changed
}

# Apply step after step, until all are done or Windows must restart first. Then open brackets are undone.
function Invoke-EveryStep {
    foreach ($step in $Steps) {
        if ($step.Name -eq 'notebook' -and -not $Run.Reboot) { Start-Switch }
        Invoke-Apply $step
        if ($Run.Outcome -eq 'reboot') { break }
        if ($step.Name -eq 'service') {
            $Run.StoppedEarly = $false
            Confirm-Switch
        }
    }
    if ($Run.Outcome -ne 'reboot') { return }
    Undo-Record -BracketsOnly
    Invoke-Hook AtRestart
}

# Nothing differs, so nothing is tested again and no bracket is applied.
function Write-AllUnchanged {
    foreach ($step in $Steps) {
        $Run.Step = $step.Name
        if (-not $step.Bracket) { Write-Event unchanged }
    }
}

# Restore the previous state, newest change first. What cannot be restored is reported and stays in the record.
function Undo-Record([switch]$BracketsOnly) {
    $brackets = @($Steps | Where-Object { $_.Bracket } | ForEach-Object { $_.Name })
    foreach ($line in @(Get-UndoOrder)) {
        if ($BracketsOnly -and $brackets -notcontains $line.step) { continue }
        $Run.Step = $line.step
        try { Undo-Line $line }
        catch {
            $Run.Outcome = 'failed'
            $failure = New-Failure not-restored ('could not restore {key}: {cause}. Fix this error, then run ' +
                'nbserver undo again') @{ key = $line.key } -Cause $_.Exception
            Write-Event failed (Get-FailureField $failure)
        }
    }
    $Run.Step = ''
}

# Services and tasks that ran before are started when everything else is restored.
function Get-UndoOrder {
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    $started = 'service', 'task_state'
    $lines | Where-Object { $started -notcontains $_.kind }
    $lines | Where-Object { $started -contains $_.kind }
}

# A run that makes changes takes the lock and keeps its events on the host; other runs leave nothing behind.
# For a 32-bit program, Windows has other folders and registry keys in place of those in the record. Mode check reports
# this as a finding, and the events of a run are in the same place for both.
function Start-Run {
    if ('check', 'events' -notcontains $Run.Mode) { Assert-SixtyFourBit }
    Invoke-Hook BeforeRun
    if ($Run.Mode -eq 'events' -or $Run.Outcome -eq 'waiting') { return }
    if (Test-Change) { Start-Change }
    elseif ($Run.Mode -ne 'check' -and (Test-Path -LiteralPath $StateFolder)) { Assert-StateFolder }
    $Run.Script = Get-Sha256 ($Utf8.GetBytes($ScriptText))
    Write-Event started @{
        run = $Run.Id; boot = $Run.Boot; mode = $Run.Mode; operator = $Run.Operator; release = $Settings.release
        host = $Settings.host; script_sha256 = $Run.Script
    }
    Invoke-Hook Begun
    if ($Run.EventFile) { Invoke-Hook Started }
}

function Start-Change {
    Initialize-StateFolder
    Enter-Lock
    $folder = Join-Path $StateFolder "runs\$($Run.Id)"
    if (Test-Path -LiteralPath $folder) {
        throw (New-Failure run-id-used 'this host already has a run with the ID "{run}". Use another run ID' @{
                run = $Run.Id
            })
    }
    [void](New-Item -ItemType Directory -Force -Path $folder)
    $Run.EventFile = Join-Path $folder 'events.jsonl'
}

function Complete-Run {
    $Run.Step = ''
    if ($Run.EventFile -and $Run.Script) { Invoke-Hook Finished }
    $Run.Ended = $true
    Write-Event finished @{
        outcome = $Run.Outcome; differs = $Run.Differs; changed = $Run.Changed; reboot = $Run.Reboot
        restarting = $Run.Restarting; fingerprint = $Run.Fingerprint
    }
}

# ---- modes: the prelude may have more

$Modes.test = {
    Assert-RotationComplete
    Invoke-Plan
}

# Report a finding for each requirement.
$Modes.check = {
    $Run.Step = 'preflight'
    Assert-Requirement language_mode { Set-Found full-language 'PowerShell runs in FullLanguage mode' }
    Assert-Requirement powershell { Assert-DotNet }
    if (Test-Path -LiteralPath $StateFolder) { Assert-Requirement state_folder { Assert-StateFolder } }
    Assert-Requirement rotation { Assert-RotationComplete }
    Invoke-Test ($Steps | Where-Object { $_.Name -eq 'preflight' })
    Assert-Requirement application_control { Write-CodeIntegrity }
    Invoke-Hook Check
}

$Modes.apply = {
    Assert-RotationComplete
    Restore-EveryAside
    Invoke-Plan
    if ($Run.Differs) { Invoke-EveryStep } else { Write-AllUnchanged }
}

$Modes.undo = {
    Invoke-Hook BeforeUndo
    Undo-Record
    Remove-FileCopy
    if ($Run.Outcome -eq 'ok') { Remove-SingleFile $RotationFile }
}

function Invoke-Mode {
    if (-not $Modes[$Run.Mode]) {
        throw (New-Failure unknown-mode 'this script has no mode "{mode}". Use one of these: {modes}' @{
                mode = $Run.Mode; modes = @($Modes.Keys | Where-Object { $Modes[$_] } | Sort-Object) -join ', '
            })
    }
    & $Modes[$Run.Mode]
}

function Invoke-Run {
    $ended = $false
    try {
        Read-Envelope
        Start-Run
        if ($Run.Mode -eq 'events') { Send-EventsAfter $Run.After }
        elseif ($Run.Outcome -ne 'waiting') { Invoke-Mode; Assert-EventsKept }
        $ended = $true
    }
    catch {
        $ended = $true
        if ($Run.Mode -eq 'events') { throw }   # an event of this run must not be mistaken for one of the other run
        $Run.Outcome = 'failed'
        $Run.Failure = $_.Exception
        $fields = Get-FailureField $_.Exception
        $fields.at = "line $($_.InvocationInfo.ScriptLineNumber)"
        Write-Event failed $fields
    }
    finally {
        if (-not $ended) { $Run.Outcome = 'stopped' }
        try { Complete-End -Stopped (-not $ended) }
        catch { $Run.Ended = $true; throw }   # a stop is not caught
        finally {
            # A stop interrupts even a block like this one, but only once.
            try { if (-not $Run.Ended -and $Run.Mode -ne 'events') { Complete-End -Stopped $true } }
            finally {
                Close-EventFile
                Exit-Lock
                $env:PSModulePath = $ModulePath
            }
        }
    }
}

function Complete-End([bool]$Stopped) {
    if ($Stopped) { Stop-Output }
    Undo-Bracket
    Complete-Switch
    if ($Run.Mode -ne 'events') { Complete-Run }
}

# Undo what an apply changed only while its steps ran. Nothing is thrown: the run must report its end.
function Undo-Bracket {
    if ($Run.Mode -ne 'apply' -or -not $Run.EventFile -or $Run.Left) { return }
    try { Undo-Record -BracketsOnly }
    catch {
        $Run.Outcome = 'failed'
        # It may be why the run failed, and is reported then.
        if ($Run.Failure -and $Run.Failure.Message -ceq $_.Exception.Message) { return }
        if (-not $Run.Failure) { $Run.Failure = $_.Exception }
        Write-Event failed (Get-FailureField $_.Exception)
    }
}

# The workstation stopped the pipeline, perhaps between writing an event and counting it.
function Stop-Output {
    $Run.Stopped = $true
    if ($Run.EventFile) { $Run.Events = @(Read-CompleteLine $Run.EventFile).Count }
}

# Events are written to the output of this function, whichever function reports them: no expression can swallow one.
function Invoke-Script {
    [CmdletBinding()]
    param()
    $Run.Pipeline = $PSCmdlet
    Invoke-Run | Write-OtherOutput
}

$ScriptText = $MyInvocation.MyCommand.ScriptBlock.ToString()
$EnvelopeLines = @(Read-EnvelopeLine $input)

Invoke-Script

if ($IsFile) {
    if ($Run.Outcome -eq 'reboot') { exit 3010 }
    if ($Run.Outcome -ne 'ok') { exit 3 }
    if ('test', 'status' -contains $Run.Mode -and $Run.Differs) { exit 2 }
    if ($Run.Reboot) { exit 3010 }
}

# ==== end: only a signature block may follow =======================================================================
