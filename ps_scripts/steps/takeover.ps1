# ---- step: takeover ----------------------------------------------------------------------------------------
# What a host brings along: a notebook server set up by hand, an nbserver whose record is lost, a program of
# others on the port. What would have to be overwritten or stopped is taken over only with adopt = true;
# without it, an apply refuses before anything is changed. What does no harm to this server is told once.
# The step stands right before the new server starts, so what serves now goes on while Python, OpenSSL and
# the packages are installed, and when that fails.

$Told = @{}

function Write-Once([string]$Text) {
    if (-not $Told.ContainsKey($Text)) { $Told[$Text] = $true; Write-Event warning @{ text = $Text } }
}

# Our server listens: it shows our certificate, or the program that listens runs from our folder.
function Test-OwnListener {
    if (-not (Test-Record 'task' 'nbserver')) { return $false }
    $certificate = Get-ServerCertificate
    if ($certificate -and (Get-ShownFingerprint) -eq (Get-Fingerprint $certificate)) { return $true }
    $processes = @(Get-PortProcess $Settings.notebook.port)
    if (-not $processes.Count) { return (Test-DeployedPort $Settings.notebook.port) -and (Test-TaskRunning 'nbserver') }
    [bool]@($processes | Where-Object { Test-Below $_.ExecutablePath $Programs }).Count
}

# What would have to be overwritten or stopped: what, is, should, and what a person reads. Taken says that
# adopt = true is enough for it.
function Get-PastConflicts {
    $port = $Settings.notebook.port
    $lost = 'an earlier nbserver has left it, and the record does not know it'
    $task = Get-TaskXml 'nbserver'
    if ($task -and -not (Test-Record 'task' 'nbserver')) {
        if (Test-StoredPassword ([xml]$task)) {
            $text = 'there is a scheduled task nbserver that runs with a stored password, so undo could not register it again. Export it and remove it yourself'
            @{ what = 'scheduled task nbserver'; is = 'registered with a stored password'; should = $null; text = $text; taken = $false }
        }
        else { @{ what = 'scheduled task nbserver'; is = $lost; should = $null; text = "there is a scheduled task nbserver: $lost. Remove it"; taken = $true } }
    }
    if ($Settings.skip -notcontains 'firewall' -and -not (Test-Record 'firewall_rule' 'nbserver') -and (Get-FirewallRule 'nbserver')) {
        @{ what = 'firewall rule nbserver'; is = $lost; should = $null; text = "there is a firewall rule nbserver: $lost. Remove it"; taken = $true }
    }
    if ((Test-Path -LiteralPath $Programs) -and -not $Settings.adopt -and -not (Test-Record 'folder' $Programs) -and -not (Test-Record 'task' 'nbserver')) {
        @{ what = $Programs; is = $lost; should = $null; text = "there is a folder ${Programs}: $lost. Remove it"; taken = $true }
    }
    if ((Test-PortListening $port) -and -not (Test-OwnListener)) {
        $holder = Get-PortOwner $port
        if ($holder.Text) { $holder.Text = " ($($holder.Text))" }
        $dependents = @($holder.Services | ForEach-Object { Get-RunningDependent $_ })
        $taken = $holder.Kind -ne 'nothing' -and -not $dependents.Count
        $text = "port $port is taken by another program$($holder.Text). Stop it, or choose another notebook.port in the inventory"
        if ($dependents.Count) { $text = "port $port is taken by another program$($holder.Text), and services that run need it: $($dependents -join ', '). Stop these first, or choose another notebook.port in the inventory" }
        @{ what = "port $port"; is = "taken by another program$($holder.Text)"; should = 'free'; text = $text; taken = $taken }
    }
}

# One message that names all.
function Get-Refusal([object[]]$Conflicts) {
    $text = @($Conflicts | ForEach-Object { $_.text }) -join '; '
    $stay = @($Conflicts | Where-Object { -not $_.taken })
    if ($stay.Count) { "$text. Only a person can do that: adopt = true does not" }
    else { "$text; or set adopt = true in the inventory, and it is taken over and put back by undo" }
}

# ---- what does no harm to this server, and matters

# The folders of the programs that the tutorial of 2013 put into PATH, and of an nbserver whose record is
# lost. Only where they stand before our entries, so that their python.exe and openssl.exe come first.
$TutorialFolder = New-Object Text.RegularExpressions.Regex '^[A-Z]:\\(Python\d\d(\\Scripts)?|OpenSSL-Win(32|64)\\bin)$', 'IgnoreCase, CultureInvariant'

function Get-HidingPathEntries {
    if ($Settings.skip -contains 'path') { return }
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $ours = @(@(Get-PathEntries) + @(Read-Record | Where-Object { $_.kind -eq 'path_entry' } | ForEach-Object { $_.key }) | ForEach-Object { $_.TrimEnd('\') })
    $found = @()
    foreach ($entry in ([string]$path.value).Split([char[]]';')) {
        $folder = (Expand-Path $entry).Trim().Trim('"').TrimEnd('\')
        if ($ours -contains $folder) { break }
        if ($found -contains $entry) { continue }
        if ((Test-Below $folder $Programs) -or $TutorialFolder.IsMatch($folder)) { $found += $entry; $entry }
    }
}

# Profiles of earlier notebook servers, in the folders of all users and of Windows' own accounts.
function Get-EarlierProfiles {
    $list = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList'
    if (-not (Test-Path -LiteralPath $list)) { return }
    foreach ($key in Get-ChildItem -LiteralPath $list) {
        $user = Get-RegistryValue "$list\$($key.PSChildName)" ProfileImagePath
        if (-not $user) { continue }
        foreach ($name in '.ipython', '_ipython') {
            $folder = Join-Path (Expand-Path $user.value) "$name\profile_nbserver"
            if ([IO.Directory]::Exists($folder)) { $folder }
        }
    }
}

Add-Step takeover 'nothing that was here before stands in the way' -Test {
    $conflicts = @(Get-PastConflicts)
    foreach ($conflict in $conflicts) { Difference $conflict.what $conflict.is $conflict.should }
    if ($conflicts.Count -and (-not $Settings.adopt -or @($conflicts | Where-Object { -not $_.taken }).Count)) {
        if ($Run.Mode -eq 'apply') { throw (Get-Refusal $conflicts) }
        Write-Once "apply will refuse to go on: $(Get-Refusal $conflicts)"
    }

    if ($Settings.skip -notcontains 'firewall') {
        foreach ($rule in Get-OtherPortRule $Settings.notebook.port) {
            $name = "firewall rule '$($rule.DisplayName)' ($($rule.Name))"
            if ($Settings.adopt -and $rule.Alone) { Difference $name 'enabled' 'disabled' }
            elseif ($rule.Alone) { Write-Once "$name lets the notebook port in too, whatever firewall.remote_addresses says. It is left alone; adopt = true disables it" }
            else { Write-Once "$name lets the notebook port in too, among other ports, whatever firewall.remote_addresses says. It is left alone: narrow it by hand" }
        }
    }
    foreach ($entry in Get-HidingPathEntries) {
        if ($Settings.adopt) { Difference 'PATH' $entry $null }
        else { Write-Once "PATH has $entry before the new entries, so its programs come first. It is left alone; adopt = true takes it out" }
    }
    if (Test-Record 'task' 'nbserver') { return }
    foreach ($folder in Get-EarlierProfiles) {
        Write-Once "$folder is of an earlier notebook server. It is left alone: notebooks that it served can be copied to $(Expand-Path $Settings.notebook.directory)"
    }
    if ($Settings.adopt -and (Test-Path -LiteralPath $Programs) -and -not (Test-Record 'folder' $Programs)) {
        Write-Once "$Programs was here before, and the record does not know it: what fits in it is used, and undo leaves it"
    }
} -Apply {
    if (-not (Test-Record 'task' 'nbserver') -and (Get-TaskXml 'nbserver')) {
        Save-TaskState '\nbserver'
        Save-Before 'task' 'nbserver' (Get-TaskXml 'nbserver')
        Stop-Task 'nbserver'
    }
    if ($Settings.skip -notcontains 'firewall') {
        $rule = Get-FirewallRule 'nbserver'
        if ($rule) { Save-Before 'firewall_rule' 'nbserver' $rule }
        foreach ($other in Get-OtherPortRule $Settings.notebook.port) { if ($other.Alone) { Disable-FirewallRule $other.Name } }
    }
    foreach ($entry in @(Get-HidingPathEntries)) { Remove-PathEntry $entry }
    if ((Test-PortListening $Settings.notebook.port) -and -not (Test-OwnListener)) { Stop-PortOwner $Settings.notebook.port }
}
