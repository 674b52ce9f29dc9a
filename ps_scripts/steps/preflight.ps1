# ---- step: preflight -----------------------------------------------------------------------------------
# Refuses what cannot work, before anything is changed. It changes nothing itself.

# What the inventory calls a Windows, and the lowest version of each. Source: "Operating System Version" and "Windows
# Server release information" on learn.microsoft.com.
$WindowsVersions = @{
    '2012' = '6.2'; '2012r2' = '6.3'; '2016' = '10.0.14393'; '2019' = '10.0.17763'; '2022' = '10.0.20348'; '2025' = '10.0.26100'
    '10' = '10.0'; '11' = '10.0.22000'
}
$WindowsKey = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'

# The version of this Windows. A program that does not name its Windows in its manifest is told an older one, so the
# registry counts where it says more. Windows 8.1 and older have the first numbers in one text, "6.3".
function Get-WindowsVersion([version]$Told) {
    $values = @{}
    foreach ($name in 'CurrentMajorVersionNumber', 'CurrentMinorVersionNumber', 'CurrentVersion', 'CurrentBuildNumber') {
        $found = Get-RegistryValue $WindowsKey $name
        if ($found) { $values[$name] = [string]$found.value }
    }
    $release = $values['CurrentVersion']
    if ($values['CurrentMajorVersionNumber']) { $release = "$($values['CurrentMajorVersionNumber']).$($values['CurrentMinorVersionNumber'])" }
    $registry = "$release.$($values['CurrentBuildNumber'])" -as [version]
    if ($registry -and $registry -gt $Told) { $registry } else { $Told }
}

# What to write as windows for this one; nothing where no release of the inventory is that old. $Type is InstallationType.
function Get-WindowsName([version]$Is, [string]$Type) {
    $names = '2025', '2022', '2019', '2016', '2012r2', '2012'
    if ($Type -eq 'Client') { $names = '11', '10' }
    foreach ($name in $names) { if ($Is -ge [version]$WindowsVersions[$name]) { return $name } }
}

# Why this Windows is not the one that the inventory means; nothing where it is that one or newer.
function Get-WindowsFault([version]$Is, [string]$Type, [string]$Should) {
    $lowest = '10.0'
    $means = 'without windows in the inventory a host is Windows 10, Server 2016 or newer'
    if ($Should) {
        $lowest = $WindowsVersions[$Should]
        $means = "the inventory says windows = `"$Should`", which is newer ($lowest)"
    }
    if ($Is -ge [version]$lowest) { return }
    $name = Get-WindowsName $Is $Type
    $todo = "Write windows = `"$name`" in the inventory"
    if ($name -eq '2012') { $todo += ', and accept_end_of_life = true' }
    if (-not $name) { $todo = 'It is too old: Windows 10 and Server 2012 are the oldest that can be set up' }
    "this is version $Is of Windows, and $means. $todo"
}

Add-Step preflight 'this host can carry the notebook server' -Test {
    Assert-ExecutionPolicy
    if ([IntPtr]::Size -ne 8) { throw 'this is a 32-bit Windows or a 32-bit PowerShell. Use a 64-bit one' }

    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $should = @{ x64 = 'AMD64'; arm64 = 'ARM64' }[$Settings.architecture]
    if ($is -ne $should) { throw "the processor is $is, and the inventory says architecture = `"$($Settings.architecture)`". Correct the inventory" }

    $type = Get-RegistryValue $WindowsKey 'InstallationType'
    if ($type) { $type = [string]$type.value }
    $fault = Get-WindowsFault (Get-WindowsVersion ([Environment]::OSVersion.Version)) $type $Settings.windows
    if ($fault) { throw $fault }

    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if ($Settings.scope -ne 'user' -and -not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'administrator rights are missing. Connect as an administrator (a local one other than the built-in account needs LocalAccountTokenFilterPolicy = 1)' }

    Assert-DataFolder (Expand-Path $Settings.notebook.directory)

    # The certificate would be dated by a wrong clock, and downloads over TLS are refused by one. A day is no slip.
    $apart = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    if ($apart -gt 5) {
        $is = [DateTime]::UtcNow
        $words = "this host's clock says $($is.ToString('u')), and the workstation's $(($is - $Run.ClockAhead).ToString('u')). Set the one that is wrong (on this host: w32tm /resync, or Set-Date)"
        if ($apart -gt 1440) { throw "$words, then run this again" }
        $Run.ClockAhead = [TimeSpan]::Zero   # told once
        Write-Event warning @{ text = $words }
    }

    Write-ForeignConfiguration

    # Python, the environment and its downloads take about 2 GB.
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    $free = [Math]::Round($drive.AvailableFreeSpace / 1GB, 1)
    if ($free -lt 3 -and -not (Test-Path -LiteralPath (Get-EnvironmentFolder))) { throw "only $free GB are free on $($drive.Name), and 3 GB are needed. Make room" }
    if ($Settings.scope -eq 'user') { Assert-FreePort; return }

    # Below 1024 MB per shell Windows ends this session in the middle of the installation.
    # Where the quota cannot be read (run by hand, WinRM not running) it is not judged.
    $quota = $null
    try { $quota = [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { $quota = $null }
    if ($quota -and $quota -lt 1024) { throw "the memory quota of remote shells is $quota MB, and 1024 are needed. Run: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service WinRM" }

    # Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
    foreach ($key in 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
        'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') {
        if (-not $Run.Reboot -and (Test-Path -LiteralPath $key)) {
            $Run.Reboot = $true
            $Run.Pending = " ($key)"
            Write-Event warning @{ text = "Windows waits for a reboot ($key). What there is to change is changed after it" }
        }
    }
} -Apply {
    throw 'preflight has nothing to change'
}

# What other installations have left on this host to configure a Jupyter, an IPython or (in machine scope) pip and uv: of
# the machine, of the account that runs the server, and variables. The step packages and the server's starter see to it
# that none of it is used. A folder that may not be looked into is left out.
function Get-ForeignConfiguration {
    $account, $variables = "$env:SystemRoot\ServiceProfiles\LocalService", '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_|PIP_|UV_)'
    if ($Settings.scope -eq 'user') { $account, $variables = $env:USERPROFILE, '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_)' }
    $places = @(
        @{ Folder = "$env:ProgramData\jupyter"; Name = '*' }
        @{ Folder = "$env:ProgramData\ipython"; Name = '*' }
        @{ Folder = "$account\.jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\AppData\Roaming\jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default\startup"; Name = '*.py' }
        @{ Folder = "$env:ProgramData\pip"; Name = 'pip.ini' }
        @{ Folder = "$env:ProgramData\uv"; Name = 'uv.toml' }
    )
    foreach ($place in $places) {
        if ($Settings.scope -eq 'user' -and 'pip.ini', 'uv.toml' -contains $place.Name) { continue }   # used to install packages
        if (-not [IO.Directory]::Exists($place.Folder)) { continue }
        try { [IO.Directory]::GetFileSystemEntries($place.Folder, $place.Name) } catch [UnauthorizedAccessException] { continue }
    }
    $targets = @('Machine')
    if ($Settings.scope -eq 'user') { $targets += 'User' }
    foreach ($target in $targets) {
        foreach ($name in [Environment]::GetEnvironmentVariables($target).Keys) {
            if ($name.ToUpperInvariant() -cmatch $variables) { "the variable $name" }   # its value may be a secret
        }
    }
}

# One warning in a run.
function Write-ForeignConfiguration {
    if ($Run.ForeignNamed) { return }
    $Run.ForeignNamed = $true
    $found = @(Get-ForeignConfiguration | Sort-Object)
    if (-not $found.Count) { return }
    $names = @($found | Select-Object -First 10) -join ', '
    if ($found.Count -gt 10) { $names += " and $($found.Count - 10) more" }
    Write-Event warning @{ text = "configuration from other installations was found and is ignored: $names" }
}

# In user scope nothing of others is stopped. In machine scope the step past looks at more than the port.
function Assert-FreePort {
    $port = $Settings.notebook.port
    if (-not (Test-PortListening $port)) { return }
    # That our server runs is not enough: it may listen on another port.
    $processes = @(Get-PortProcess $port)
    if (-not $processes.Count -and (Test-DeployedPort $port) -and @(Get-ProcessBelow $Programs).Count) { return }
    if (@($processes | Where-Object { $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs) }).Count) { return }
    $who = @($processes | Select-Object -First 1 | ForEach-Object { " ($($_.Name), process $($_.ProcessId))" })
    throw "port $port is taken by another program$who. Stop it, or choose another notebook.port in the inventory"
}

# AllSigned is this site's wish for signed scripts only. Windows would let this one pass: a pipeline's text
# is no file, and -ExecutionPolicy Bypass stands in the scope Process, which is left out here. A file that
# runs while AllSigned holds for this process too is signed: Windows has looked.
function Assert-ExecutionPolicy {
    $policy = @(Get-ExecutionPolicy -List | Where-Object { [string]$_.Scope -ne 'Process' -and [string]$_.ExecutionPolicy -ne 'Undefined' })
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    $todo = "Exempt this host while nbserver works on it: Set-ExecutionPolicy RemoteSigned -Scope $scope"
    if ($scope -cmatch 'Policy$') { $todo = 'A group policy says so: ask for an exemption of this host from it' }
    throw "only signed scripts may run on this host (execution policy AllSigned, scope $scope), and this one is not signed. $todo"
}
