# ---- step: service -------------------------------------------------------------------------------------
# A scheduled task that starts with Windows: no time limit, started again when it ends, also on battery.
# It runs as LOCAL SERVICE, without administrator rights; ProcessTokenSidType gives its process the SID that
# the files are granted to. The second trigger looks every five minutes whether it still runs.
# In user scope: a process of the user's own in the background, until they log off (prelude/processes).

# What the server read at its start. It stands in the task's description, so a server that was started
# before its files were changed is seen, and started again. Times only: nothing secret is derived from.
function Get-ServiceState {
    $times = foreach ($file in $ConfigurationFile, $StarterFile, $CertificateFile) {
        if (Test-Path -LiteralPath $file) { (Get-Item -LiteralPath $file).LastWriteTimeUtc.ToString('u') } else { 'none' }
    }
    "nbserver: secured notebook server. Files of $($times -join ', ')"
}

# The server's command line, behind its program.
function Get-ServerArguments {
    '-I', $StarterFile, $ConfigurationFile, $WorkFolder, $ServerLog
}

function Format-ServerArguments {
    @(Get-ServerArguments | ForEach-Object { Format-Argument $_ }) -join ' '
}

# What a task's XML must say: where, what, and what Windows takes where the element is missing.
function Get-ServiceProperties {
    @(
        @{ Path = 'RegistrationInfo/Description'; Should = Get-ServiceState; Default = '' }
        @{ Path = 'Triggers/BootTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Repetition/Interval'; Should = 'PT5M'; Default = '' }
        @{ Path = 'Principals/Principal/UserId'; Should = 'S-1-5-19'; Default = '' }
        @{ Path = 'Principals/Principal/RunLevel'; Should = 'LeastPrivilege'; Default = 'LeastPrivilege' }
        @{ Path = 'Principals/Principal/ProcessTokenSidType'; Should = 'Unrestricted'; Default = 'Default' }
        @{ Path = 'Settings/MultipleInstancesPolicy'; Should = 'IgnoreNew'; Default = 'IgnoreNew' }
        @{ Path = 'Settings/DisallowStartIfOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StopIfGoingOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/ExecutionTimeLimit'; Should = 'PT0S'; Default = 'P3D' }
        @{ Path = 'Settings/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/RestartOnFailure/Interval'; Should = 'PT1M'; Default = '' }
        @{ Path = 'Actions/Exec/Command'; Should = Get-EnvironmentProgram 'python.exe'; Default = '' }
        @{ Path = 'Actions/Exec/Arguments'; Should = Format-ServerArguments; Default = '' }
        @{ Path = 'Actions/Exec/WorkingDirectory'; Should = $WorkFolder; Default = '' }
    )
}

function Get-ServiceXml {
    @"
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>$(Protect-Xml (Get-ServiceState))</Description></RegistrationInfo>
  <Triggers>
    <BootTrigger><Enabled>true</Enabled></BootTrigger>
    <TimeTrigger><Repetition><Interval>PT5M</Interval></Repetition><StartBoundary>2020-01-01T00:00:00</StartBoundary><Enabled>true</Enabled></TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author"><UserId>S-1-5-19</UserId><RunLevel>LeastPrivilege</RunLevel><ProcessTokenSidType>Unrestricted</ProcessTokenSidType></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Enabled>true</Enabled>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>$(Protect-Xml (Get-EnvironmentProgram 'python.exe'))</Command>
      <Arguments>$(Protect-Xml (Format-ServerArguments))</Arguments>
      <WorkingDirectory>$(Protect-Xml $WorkFolder)</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"@ -replace "`r", ''
}

function Test-TaskRunning([string]$Name) {
    $task = Get-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction SilentlyContinue
    $task -and [string]$task.State -eq 'Running'
}

function Test-ServerRunning {
    if ($Settings.scope -eq 'user') { [bool](Get-Background) } else { Test-TaskRunning 'nbserver' }
}

# ---- in user scope

function Get-ServerText { "$(Get-EnvironmentProgram 'python.exe') $(Format-ServerArguments)`n$(Get-ServiceState)`n" }

function Compare-BackgroundServer {
    if (-not (Test-ServerRunning)) { Difference 'the notebook server' 'not running' 'running in the background' }
    elseif (-not (Test-Background (Get-ServerText))) { Difference 'the notebook server' 'started before a change' 'started again' }
}

# The starter says where everything is. What this user has set for other servers and Pythons is taken away,
# from the environment of this run only.
function Start-BackgroundServer {
    foreach ($name in @([Environment]::GetEnvironmentVariables().Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^(JUPYTER|IPYTHON|PYTHON)') { [Environment]::SetEnvironmentVariable($name, $null) }
    }
    foreach ($file in $ServerLog, "$ServerLog.before") { Save-FileBefore $file }
    Start-Background (Get-EnvironmentProgram 'python.exe') (Get-ServerArguments) $WorkFolder (Get-ServerText)
}

Add-Step service 'the notebook server runs: as a task from the start of Windows, or in user scope in the background' -Test {
    if ($Settings.scope -eq 'user') { Compare-BackgroundServer; return }
    $text = Get-TaskXml 'nbserver'
    if (-not $text) { Difference 'scheduled task nbserver' $null 'registered'; return }
    $xml = [xml]$text
    foreach ($property in Get-ServiceProperties) {
        $is = Get-TaskText $xml $property.Path
        if ($null -eq $is) { $is = $property.Default }
        if ($is -ne $property.Should) { Difference "scheduled task nbserver, $($property.Path)" $is $property.Should }
    }
    if (-not (Test-TaskRunning 'nbserver')) { Difference 'scheduled task nbserver' 'not running' 'running' }
} -Apply {
    if ($Settings.scope -eq 'user') { Start-BackgroundServer; return }
    if (Get-TaskXml 'nbserver') { Stop-Task 'nbserver' }
    Set-Task 'nbserver' (Get-ServiceXml)
    Start-ScheduledTask -TaskName 'nbserver' -TaskPath '\'
}
