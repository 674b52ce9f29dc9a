# ---- prelude: rollback -----------------------------------------------------------------------------
# Switch back to the environment from before the last upgrade: mode rollback.

# It is a switch to the folder of the previous environment. What the server runs now is saved first, and becomes the
# previous one, so a second rollback goes forward again. If the server fails its verification, the end of the
# run switches back. A file in the folder of the switch says that a rollback opened it: the next rollback completes it.

$RollbackMark = Join-Path $SwitchFolder 'rollback'

$Modes.rollback = {
    Assert-Installed
    Assert-NoOpenRotation
    $Run.Step = 'packages'
    Assert-NoOpenUpgrade
    # It was cut off after the verification.
    if ((Test-OpenSwitch) -and -not (Test-Path -LiteralPath $PreviousFolder)) {
        Invoke-FileChange 'move-folder' $SwitchFolder $PreviousFolder
        Write-Event unchanged
        return
    }
    $previous = Get-RollbackPython
    Assert-HasCertificate
    Reset-Difference 'service'
    Add-Difference server-rolls-back 'environment that the server starts from' (
        Get-EnvironmentOf (Get-DeployedPython)) (Get-EnvironmentOf $previous)
    Write-ChangeStart
    Switch-ToPrevious
    Write-ChangeEnd
    Reset-Difference 'check'
    Add-Difference server-proven 'certificate on TCP port {port}' $null $Run.Fingerprint @{
        port = $Settings.notebook.port
    }
    Write-ChangeStart
    Confirm-Switch
    Write-ChangeEnd
}
$ChangingModes += 'rollback'

# An upgrade that was cut off: its switch has the previous environment, and that of the upgrade before may be gone.
function Assert-NoOpenUpgrade {
    if (-not (Test-OpenSwitch) -or (Test-Path -LiteralPath $RollbackMark)) { return }
    throw (New-Failure rollback-in-upgrade ('an earlier apply on this host was interrupted. Run nbserver apply, ' +
            'which either completes its changes or restores the previous server'))
}

# Return the Python of the previous environment, which must be as it was installed.
function Get-RollbackPython {
    if (-not (Test-Path -LiteralPath $PreviousFolder)) {
        throw (New-Failure no-previous-environment ('this host has no previous environment to roll back to. nbserver ' +
                'keeps the previous environment only when an upgrade installs packages from a different lock'))
    }
    $python = Get-SavedPython $PreviousFolder
    if (-not $python) {
        throw (New-Failure previous-environment-gone ('this host cannot be rolled back, because the Python of its ' +
                'previous environment is missing or cannot run. Set packages.lock in the inventory to the earlier ' +
                'lock, then run nbserver apply instead'))
    }
    if (-not (Get-DeployedPython)) {
        throw (New-Failure deployed-environment-unknown ('the notebook server does not run from an environment that ' +
                'nbserver created, so nbserver cannot roll it back. Run nbserver apply instead'))
    }
    Assert-SameFolder
    Assert-PreviousUnchanged (Get-EnvironmentOf $python)
    $python
}

# The access of the service to the folder of then may have been undone.
function Assert-SameFolder {
    $former = Read-SavedFolder (Join-Path $PreviousFolder (Split-Path -Leaf $ConfigurationFile))
    $folder = Read-SavedFolder $ConfigurationFile
    if (-not $former -or -not $folder -or $former -eq $folder) { return }
    throw (New-Failure rollback-other-folder ('notebook.directory has changed since the previous environment was in ' +
            'use: it was {former}, and is now {folder}. Set it to {former} and run nbserver apply, then run nbserver ' +
            'rollback again') @{ former = $former; folder = $folder })
}

# Return the folder of the notebooks in a configuration file, or '' if it has none.
function Read-SavedFolder([string]$File) {
    if (-not (Test-Path -LiteralPath $File)) { return '' }
    $text = [IO.File]::ReadAllText($File, $Utf8)
    if ($text -cnotmatch '"root_dir":\s+("(?:[^"\\]|\\.)*")') { return '' }
    [string](ConvertFrom-Json "{`"folder`":$($Matches[1])}").folder
}

function Assert-PreviousUnchanged([string]$Environment) {
    $Run.Differences = New-Object Collections.ArrayList
    $name = Split-Path -Leaf $Environment
    $list = Get-FileList $name
    if (-not (Test-Path -LiteralPath $list)) { return }
    $source = [string](@([IO.File]::ReadAllLines($list, $Utf8))[0])
    Compare-InstalledFile $name $Environment $source -Caches
    foreach ($difference in $Run.Differences) {
        throw (New-Failure previous-environment-changed ('this host cannot be rolled back, because its previous ' +
                'environment {path} has changed since it was installed ({what}). Set packages.lock in the inventory ' +
                'to the earlier lock, then run nbserver apply instead') @{
                path = $Environment; what = $difference.what
            })
    }
}

# What a rollback that was cut off has saved stays: since then, the server may run from the previous environment.
function Switch-ToPrevious {
    if (-not (Test-OpenSwitch)) {
        Save-CurrentServer (Get-DeployedPython)
        Write-TextFile (Join-Path "$SwitchFolder.new" 'rollback') ''
        Open-Switch
    }
    $Run.RollbackBegun = $true
    Write-StepProgress rolling-back 'Starting the server from its previous environment'
    try { Restore-Server $PreviousFolder }
    catch {
        throw (New-Failure previous-server-not-started ('could not start the server from its previous environment: ' +
                '{cause}') -Cause $_.Exception)
    }
}

# The end of a rollback that failed: what was saved is the environment that the host ran before.
function Undo-Rollback {
    $Run.Step = 'service'
    Write-StepProgress returning 'Switching back to the environment that was in use before the rollback'
    try {
        $python = Get-SavedPython $SwitchFolder
        Restore-Server $SwitchFolder
        Remove-Switch
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure rollback-not-switched-back ('the rollback failed, and nbserver could not ' +
            'switch back to the environment that was in use before: {problem}. Fix this error, then run nbserver ' +
            'apply. The rollback failed because of this error: {cause}') @{
                problem = $problem.Message
            } -Cause (Get-RunFailure))
        return
    }
    Write-UpgradeEnd (New-Failure rollback-switched-back ('the rollback failed, so this host runs the environment ' +
            '{environment} again: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure))
}

# Return the environment that a rollback would use, the hash of its lock, and when it was installed; or nothing.
function Get-PreviousStatus {
    if (Test-OpenSwitch) { return }
    $python = Get-SavedPython $PreviousFolder
    if (-not $python) { return }
    $environment = Get-EnvironmentOf $python
    $file = Join-Path $environment 'nbserver.lock'
    $lock = [string]([IO.File]::ReadAllLines($file, $Utf8) | Select-Object -First 1)
    $installed = Format-UtcTime (Get-Item -LiteralPath $file).LastWriteTimeUtc
    if ($lock -cnotmatch '\A[0-9a-f]{64}\z') { $lock = ''; $installed = '' }
    @{ environment = $environment; lock = $lock; installed = $installed }
}
