# ---- prelude: restarted_server ---------------------------------------------------------------------
# Start the registered task again.

function Test-ServiceRecord { Test-Record 'task' 'nbserver' }

function Assert-CanRestart { }

# True if the server runs, and was started after the last change of its files.
function Test-CurrentServer {
    $description = Get-TaskText ([xml](Get-TaskXml 'nbserver')) 'RegistrationInfo/Description'
    (Test-ServerRunning) -and [string]::Equals($description, (Get-ServiceState))
}

function Test-OwnCertificate { $Settings.certificate.source -eq 'host' }

# A task that was disabled while it runs counts as disabled, so its process is looked for, too.
function Test-ServerAlive {
    if (Test-ServerRunning) { return $true }
    [bool](Get-PortProcess $Settings.notebook.port | Where-Object {
            $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs)
        })
}

# The task stays as it is, except that it is enabled, and that its description has the times of the files again. If
# this run is interrupted, Windows starts the task within five minutes, or the next run finds it stopped.
function Restart-Server {
    $xml = [xml](Get-TaskXml 'nbserver')
    Set-TaskText $xml 'RegistrationInfo/Description' (Get-ServiceState)
    Set-TaskText $xml 'Settings/Enabled' 'true'
    Stop-Task 'nbserver'
    Start-NewTask $xml.DocumentElement.OuterXml
}

# Keep the task for a way back.
function Save-Service([string]$Folder) { Write-TextFile (Join-Path $Folder 'task.xml') (Get-TaskXml 'nbserver') }

# Return whether the task is as it was saved, and this run has not started it again.
function Test-SavedService([string]$Folder) {
    if ($ServiceTask.Started) { return $false }
    [string]::Equals((Get-TaskXml 'nbserver'), [IO.File]::ReadAllText((Join-Path $Folder 'task.xml'), $Utf8))
}

function Start-SavedService([string]$Folder, [string]$Python) {
    $null = $Python                                      # the task names it
    $xml = [xml][IO.File]::ReadAllText((Join-Path $Folder 'task.xml'), $Utf8)
    Set-TaskText $xml 'Settings/Enabled' 'true'
    Start-NewTask $xml.DocumentElement.OuterXml
}

# Set the text of an element that the task has.
function Set-TaskText {
    param([xml]$Xml, [string]$Path, [string]$Text)
    $steps = @($Path -split '/' | ForEach-Object { "*[local-name()='$_']" })
    $node = $Xml.SelectSingleNode('/*/' + ($steps -join '/'))
    if ($node) { $node.InnerText = $Text }
}
