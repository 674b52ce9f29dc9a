# ---- prelude: switch -------------------------------------------------------------------------------
# Switch the server to another environment, and verify the server that runs from it.

# Another lock gets another environment. Before the server is switched to it, a folder gets what the server ran before:
# the path of its Python, its configuration, the program that starts it, and its task or process. As long as this folder
# exists, the switch is open: a run that fails restores what is in it, and the next run completes a switch that was cut
# off. When the new server has been verified, the folder becomes that of the previous environment, which is kept. The
# same folder protects a server that only gets other settings: it has a mark then, and is removed at the end.

$SwitchFolder = Join-Path $StateFolder 'switch'
$PreviousFolder = Join-Path $StateFolder 'previous'
$SettingsMark = Join-Path $SwitchFolder 'settings'

# ---- which environment the server runs from

# Return the Python that the task or process was set up with; nothing if there is none, or if it cannot run any more.
function Get-DeployedPython {
    if (-not (Test-ServiceRecord)) { return }
    $python = Get-ServerProgram
    if (Test-CompletePython $python) { $python }
}

# Return the Python in such a folder; nothing if there is none, or if it cannot run any more.
function Get-SavedPython([string]$Folder) {
    $file = Join-Path $Folder 'python'
    if (-not (Test-Path -LiteralPath $file)) { return }
    $python = [IO.File]::ReadAllText($file, $Utf8).TrimEnd()
    if (Test-CompletePython $python) { $python }
}

# Return whether this is the Python of an environment that is complete, and whose own Python still exists.
function Test-CompletePython([string]$Python) {
    if ($Python -cnotmatch "\A$([regex]::Escape($Programs))\\env-[0-9a-z.]+-[0-9a-f]{8}\\Scripts\\python\.exe\z") {
        return $false
    }
    $environment = Get-EnvironmentOf $Python
    foreach ($path in $Python, (Join-Path $environment 'nbserver.lock')) {
        if (-not (Test-Path -LiteralPath $path)) { return $false }
    }
    $base = Get-BaseFolder $environment
    [bool]($base -and (Test-Path -LiteralPath (Join-Path $base 'python.exe')))
}

function Get-EnvironmentOf([string]$Python) { Split-Path -Parent (Split-Path -Parent $Python) }

# Return the folder of the Python from which the environment was created.
function Get-BaseFolder([string]$Environment) {
    $file = Join-Path $Environment 'pyvenv.cfg'
    if (-not (Test-Path -LiteralPath $file)) { return }
    foreach ($line in [IO.File]::ReadAllLines($file, $Utf8)) {
        if ($line -cmatch '\Ahome = (.+)\z') { return $Matches[1] }
    }
}

# Return the environment that is kept, and the folder of its Python: during an upgrade that from which the server runs,
# else the previous one.
function Get-KeptFolder {
    $python = Get-KeptPython
    if (-not $python) { return }
    $environment = Get-EnvironmentOf $python
    $environment
    Get-BaseFolder $environment
}

function Get-KeptPython {
    if (Test-OpenSwitch) {
        $saved = Get-SavedPython $SwitchFolder
        if ($saved -ne (Get-EnvironmentProgram 'python.exe')) { return $saved }
    }
    $deployed = Get-DeployedPython
    if ($deployed -and $deployed -ne (Get-EnvironmentProgram 'python.exe')) { return $deployed }
    Get-SavedPython $PreviousFolder
}

function Test-OpenSwitch { Test-Path -LiteralPath $SwitchFolder }

# ---- the switch

# Called before the first file changes that the server reads. A switch that is open keeps what it saved: the server may
# already run from the new environment.
function Start-Switch {
    if (Test-OpenSwitch) { return }
    $python = Get-DeployedPython
    if (-not $python) { return }
    $Run.Step = 'packages'
    if ($python -ne (Get-EnvironmentProgram 'python.exe')) { Save-CurrentServer $python }
    elseif ($Run.NewSettings -and ($Run.Answered -or (Test-AnswerAsSaved))) {
        Save-CurrentServer $python
        Write-TextFile (Join-Path "$SwitchFolder.new" (Split-Path -Leaf $SettingsMark)) ''
    }
    else { return }
    Open-Switch
}

# Called after the test of a step: whether the configuration or the task differs. The description of the task only says
# for which files the server was started.
function Read-NewSetting([string]$Step) {
    foreach ($difference in $Run.Differences) {
        $task = $difference.code -eq 'task-property' -and
            $difference.values.property -ne 'RegistrationInfo/Description'
        $configuration = $Step -eq 'notebook' -and 'salt', 'file-content' -contains $difference.code
        if ($configuration -or $task) { $Run.NewSettings = $true }
    }
}

# Return whether the server answers at the port and the address of its present configuration.
function Test-AnswerAsSaved {
    $port = $Settings.notebook.port
    $address = $Settings.notebook.ip
    try {
        Read-SavedAddress
        [bool](Get-ServerFingerprint)
    }
    finally {
        $Settings.notebook.port = $port
        $Settings.notebook.ip = $address
    }
}

function Save-CurrentServer([string]$Python) {
    try { Save-Server "$SwitchFolder.new" $Python }
    catch {
        throw (New-Failure previous-not-saved ('could not save the files of the current server, so the server was ' +
                'not changed: {cause}. Fix this error, then try again') -Cause $_.Exception)
    }
}

function Open-Switch { Invoke-FileChange 'move-folder' "$SwitchFolder.new" $SwitchFolder }

function Save-Server([string]$Folder, [string]$Python) {
    if (Test-Path -LiteralPath $Folder) { Remove-Folder $Folder }
    New-ClosedFolder $Folder $StateAccess
    foreach ($file in $ConfigurationFile, $StarterFile) {
        Assert-NoLink $file
        if (Test-Path -LiteralPath $file) { Copy-File $file (Join-Path $Folder (Split-Path -Leaf $file)) }
    }
    Save-Service $Folder
    Write-TextFile (Join-Path $Folder 'python') "$Python`n"
}

# Called when the server has been started from the new environment. Until then, nothing of the old one was removed.
function Confirm-Switch {
    if (-not (Test-OpenSwitch)) { return }
    $Run.Step = 'check'
    Write-StepProgress verifying-server 'Verifying the server'
    Assert-ServerClosed (Wait-Server)
    $shown = Get-ServerFingerprint
    if ($shown -ne $Run.Fingerprint) {
        throw (New-Failure new-server-certificate ('the server presents a different certificate on TCP port {port}: ' +
                'expected {expected}, got {actual}') @{
                port = $Settings.notebook.port; expected = $Run.Fingerprint; actual = $shown
            })
    }
    Assert-Login
    # Only the settings are new, or a rollback was cut off.
    if ((Get-SavedPython $SwitchFolder) -eq (Get-ServerProgram)) { Remove-Switch; return }
    if (Test-Path -LiteralPath $PreviousFolder) { Remove-Folder $PreviousFolder }
    Invoke-FileChange 'move-folder' $SwitchFolder $PreviousFolder
}

# Half a folder must not be taken for an open switch, so it first gets another name.
function Remove-Switch {
    if (Test-Path -LiteralPath "$SwitchFolder.new") { Remove-Folder "$SwitchFolder.new" }
    if (-not (Test-OpenSwitch)) { return }
    Invoke-FileChange 'move-folder' $SwitchFolder "$SwitchFolder.new"
    Remove-Folder "$SwitchFolder.new"
}

# Undo removes all environments.
Add-Hook BeforeUndo {
    Remove-Switch
    if (Test-Path -LiteralPath $PreviousFolder) { Remove-Folder $PreviousFolder }
}
