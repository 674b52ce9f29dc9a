# ---- prelude: way_back -----------------------------------------------------------------------------
# Restore the previous server after a failed upgrade or failed new settings.

# ---- restoring

# Restore what the folder has, start that server, and prove that it responds.
function Restore-Server([string]$Folder, [switch]$WithPassword) {
    $python = Get-SavedPython $Folder
    if (-not $python) {
        throw (New-Failure previous-environment-missing ('the virtual environment of the previous server is missing ' +
                'or incomplete'))
    }
    Stop-Server
    Restore-ServerFile $Folder -WithPassword:$WithPassword
    Read-SavedAddress
    Start-SavedService $Folder $python
    Assert-PreviousServer
}

# A password that was replaced since is not restored. If new settings fail (-WithPassword), the password is: it came
# with them, and set-password changes what was saved, too. A rollback keeps the port and the address.
function Restore-ServerFile([string]$Folder, [switch]$WithPassword) {
    $starter = Join-Path $Folder (Split-Path -Leaf $StarterFile)
    if (Test-Path -LiteralPath $starter) { Copy-Over $starter $StarterFile }
    $configuration = Join-Path $Folder (Split-Path -Leaf $ConfigurationFile)
    if (-not (Test-Path -LiteralPath $configuration)) { return }
    $name = 'notebook.kept_password_hash'
    Read-KeptSecret $name $ConfigurationFile $HashPattern
    $saved = [IO.File]::ReadAllText($configuration, $Utf8)
    $text = $saved
    if ($Folder -eq $PreviousFolder) { $text = Get-TextForAddress $saved }
    $former = [regex]::Match($text, $HashPattern).Groups[1].Value
    $isReplaced = $former -and $Secrets.ContainsKey($name) -and
        -not [string]::Equals($former, (Expand-Secret "@$name@" $name))
    if ($isReplaced -and -not $WithPassword) {
        Write-TextFile $ConfigurationFile $text.Replace($former, "@$name@") $name
    }
    elseif (-not [string]::Equals($text, $saved)) { Write-TextFile $ConfigurationFile $text }
    else { Copy-Over $configuration $ConfigurationFile }
}

# Return a configuration with the port and the address of the present one, for which the firewall is set.
function Get-TextForAddress([string]$Text) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $Text }
    $present = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    foreach ($name in 'port', 'ip') {
        $pattern = "`"$name`":\s+[^,\r\n]*,"
        $should = [regex]::Match($present, $pattern)
        $is = [regex]::Match($Text, $pattern)
        if ($should.Success -and $is.Success) { $Text = $Text.Replace($is.Value, $should.Value) }
    }
    $Text
}

# The port and the address in the configuration that was restored.
function Read-SavedAddress {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return }
    $text = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    if ($text -cmatch '"port":\s+([0-9]{1,5})\b') { $Settings.notebook.port = [int]$Matches[1] }
    if ($text -cmatch '"ip":\s+"([0-9a-f.:*]{1,45})"') { $Settings.notebook.ip = $Matches[1] }
}

function Assert-PreviousServer {
    try {
        if (-not @(Wait-Server | Where-Object { -not (Test-Refused $_) }).Count) { return }
    }
    catch { Write-Event log @{ text = "$_" } }
    throw (New-Failure previous-not-responding ('the previous server was started again, but does not respond as ' +
            'expected on TCP port {port}') @{
            port = $Settings.notebook.port
        })
}

# ---- the end of a run

# Whether a run has failed, or was stopped, while it was changing the environment or the settings of the server. A run
# that was refused at its start changes nothing.
function Test-SwitchToEnd {
    if ($Run.Mode -ne 'apply' -and -not $Run.RollbackBegun) { return $false }
    if ('failed', 'stopped' -notcontains $Run.Outcome) { return $false }
    if (-not $Run.Lock -or $Run.Left -or -not $Run.Script -or (Test-Path -LiteralPath $RotationFile)) { return $false }
    $Run.Installing -or $Run.StoppedEarly -or (Test-OpenSwitch)
}

# The last events say what this host runs. Nothing is thrown: the run must report its end.
function Complete-Switch {
    try {
        if (-not (Test-SwitchToEnd)) { return }
        $isAside = $Run.Installing -and (Test-Aside (Get-EnvironmentFolder))
        if ($isAside -and -not (Restore-Environment)) { return }
        if ($Run.RollbackBegun) { Undo-Rollback }
        elseif (Test-Untouched) { Remove-Switch; Write-NotSwitched $isAside }
        elseif (Test-SettingsSwitch) { Undo-NewSetting }
        elseif (Test-OpenSwitch) { Undo-Switch }
        else {
            if ($Run.StoppedEarly) { Start-ServerAgain }
            if ($Run.Installing) { Write-NotSwitched $isAside }
        }
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        $failure = New-Failure upgrade-not-switched-back ('the upgrade failed, and nbserver could not switch back ' +
            'to the previous environment: {problem}. Fix this error, then run nbserver apply again. The upgrade ' +
            'failed because of this error: {cause}') @{ problem = $problem.Message } -Cause (Get-RunFailure)
        Write-UpgradeEnd $failure
    }
}

# Return whether only the settings were to change.
function Test-SettingsSwitch {
    if (-not (Test-Path -LiteralPath $SettingsMark)) { return $false }
    (Get-SavedPython $SwitchFolder) -eq (Get-EnvironmentProgram 'python.exe')
}

function Undo-NewSetting {
    $Run.Step = 'service'
    Write-StepProgress restoring-settings 'Restoring the previous settings of the server'
    try {
        Restore-Server $SwitchFolder -WithPassword
        Remove-Switch
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure settings-not-restored ('the new settings were not applied, and nbserver could ' +
            'not restore the previous settings of the server: {problem}. Fix this error, then run nbserver apply ' +
            'again. The new settings were not applied because of this error: {cause}') @{
                problem = $problem.Message
            } -Cause (Get-RunFailure))
        return
    }
    Write-UpgradeEnd (New-Failure settings-restored ('the new settings were not applied, so the server runs with ' +
            'its previous settings again: {cause}') -Cause (Get-RunFailure))
}

# Return whether the server that was saved still runs, and all its files are as they were saved. Then there is nothing
# to restore, and a server that people work with is not restarted.
function Test-Untouched {
    if (-not (Test-OpenSwitch) -or -not (Test-ServerRunning)) { return $false }
    foreach ($file in $ConfigurationFile, $StarterFile) {
        $saved = Join-Path $SwitchFolder (Split-Path -Leaf $file)
        foreach ($path in $file, $saved) { if (-not (Test-Path -LiteralPath $path)) { return $false } }
        if (-not [string]::Equals([IO.File]::ReadAllText($file, $Utf8), [IO.File]::ReadAllText($saved, $Utf8))) {
            return $false
        }
    }
    Test-SavedService $SwitchFolder
}

function Undo-Switch {
    $Run.Step = 'service'
    Write-StepProgress switching-back 'Switching back to the previous environment'
    $python = Get-SavedPython $SwitchFolder
    try { Restore-Server $SwitchFolder }
    catch {
        # It would take the space that the previous server needs. A run that applies the previous settings again has
        # built no environment, and removes none.
        $new = Get-EnvironmentFolder
        if (-not $python -or (Get-EnvironmentOf $python) -eq $new -or -not (Test-Record 'folder' $new)) { throw }
        Remove-Environment $new
        Restore-Server $SwitchFolder
    }
    Remove-Switch
    $failure = New-Failure upgrade-switched-back ('the upgrade failed, so this host runs its previous environment ' +
        '{environment} again: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure)
    Write-UpgradeEnd $failure
}

# Return whether the environment that was set aside is in use again.
function Restore-Environment {
    $Run.Step = 'packages'
    $environment = Get-EnvironmentFolder
    try { Restore-Aside $environment }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure environment-not-returned ('could not reinstall the packages: {cause}. nbserver ' +
                'also could not restore the environment {environment}: {problem}. Fix both errors, then run nbserver ' +
                'apply again') @{
                environment = $environment; problem = $problem.Message
            } -Cause (Get-RunFailure))
        return $false
    }
    $true
}

# The server was stopped while its Python or its packages were replaced.
function Start-ServerAgain {
    if (-not (Get-DeployedPython)) { return }
    $Run.Step = 'service'
    Write-StepProgress starting-again 'Starting the server again'
    Restart-Server
}

# The server still runs from its previous environment, if this run has built another one. An environment that is not
# complete is removed, because it takes space.
function Write-NotSwitched([bool]$IsReturned) {
    if ($IsReturned) {
        $Run.Step = 'packages'
        Write-UpgradeEnd (New-Failure environment-returned ('could not reinstall the packages, so this host keeps ' +
                'its current environment {environment}: {cause}') @{
                environment = Get-EnvironmentFolder
            } -Cause (Get-RunFailure))
        return
    }
    $python = Get-DeployedPython
    if (-not $python -or $python -eq (Get-EnvironmentProgram 'python.exe')) { return }
    $Run.Step = 'packages'
    if (-not (Test-LockMark)) {
        try { Remove-Environment (Get-EnvironmentFolder) }
        catch { Write-Event log @{ text = "$_" } }
    }
    $failure = New-Failure upgrade-not-begun ('the upgrade failed, and this host still runs its previous environment ' +
        '{environment}: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure)
    Write-UpgradeEnd $failure
}

function Remove-Environment([string]$Folder) {
    Stop-ProcessBelow $Folder
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'folder' -and $_.key -eq $Folder })) {
        Undo-Line $line
        Remove-FileList (Split-Path -Leaf $Folder)
    }
}

# Return why this run failed.
function Get-RunFailure {
    if ($Run.Failure) { return $Run.Failure }
    New-Failure run-was-stopped 'the run was stopped before it finished'
}

# A run that was stopped did not fail.
function Write-UpgradeEnd([Exception]$Failure) {
    $kind = 'warning'
    if ($Run.Outcome -eq 'failed') { $kind = 'failed' }
    Write-Event $kind (Get-FailureField $Failure)
}
