# ---- step: takeover --------------------------------------------------------------------------------
# Use or replace what is already on the host if adopt = true; otherwise, refuse the host.

# Examples are a notebook server that was set up by hand, an nbserver whose record is lost, and another program on the
# port. A conflict must be replaced or stopped. What does not harm this server is kept, and reported once.
# This step is right before the new server starts: the old one runs until everything is installed.

Add-Step takeover 'Nothing on this host conflicts with the notebook server' -Test {
    $conflicts = @(Compare-EarlierTask) + @(Compare-EarlierRule) + @(Compare-EarlierFolder) + @(Compare-Port)
    Assert-NoConflict $conflicts
    Compare-OpenPortRule
    Compare-HidingPathEntry
    Write-Leftover
    $Takeover.Reported = $true
} -Apply {
    Save-EarlierTask
    Save-EarlierRule
    foreach ($rule in @(Get-OpenPortRule)) { if ($rule.Alone) { Disable-FirewallRule $rule.Name } }
    foreach ($entry in @(Get-HidingPathEntry)) { Remove-PathEntry $entry }
    if (Test-ForeignListener) { Stop-PortOwner $Settings.notebook.port }
}

$Takeover = @{ Reported = $false }   # a Test runs more than once, and its warnings are written once

# ---- conflicts: each function adds a difference, and returns the failure that explains it

# $Adoptable: adopt = true is enough. $Name is short, for a list of conflicts.
function New-Conflict {
    param([string]$Name, [bool]$Adoptable, [Exception]$Failure)
    @{ Name = $Name; Adoptable = $Adoptable; Failure = $Failure }
}

function Compare-EarlierTask {
    $task = Get-TaskXml 'nbserver'
    if (-not $task -or (Test-Record 'task' 'nbserver')) { return }
    if (Test-StoredPassword ([xml]$task)) {
        Add-Difference task 'scheduled task nbserver' 'registered with a stored password' $null
        return New-Conflict 'scheduled task nbserver' $false (New-Failure task-with-password ('the nbserver ' +
                'scheduled task has a stored password, so undo could not restore it. Export and delete the task, ' +
                'then run nbserver apply again'))
    }
    Add-Difference task 'scheduled task nbserver' 'left over from an earlier installation' $null
    New-Conflict 'scheduled task nbserver' $true (New-Failure earlier-task ('the nbserver scheduled task is left ' +
            'over from an earlier installation, and this host has no record of it. Remove the task, or set adopt = ' +
            'true in the inventory to replace it'))
}

function Compare-EarlierRule {
    if ($Settings.skip -contains 'firewall' -or (Test-Record 'firewall_rule' 'nbserver')) { return }
    if (-not (Get-FirewallRule 'nbserver')) { return }
    Add-Difference firewall-rule 'firewall rule nbserver' 'left over from an earlier installation' $null
    New-Conflict 'firewall rule nbserver' $true (New-Failure earlier-rule ('the nbserver firewall rule is left over ' +
            'from an earlier installation, and this host has no record of it. Remove the rule, or set adopt = true ' +
            'in the inventory to replace it'))
}

function Compare-EarlierFolder {
    if ($Settings.adopt -or (Test-Record 'task' 'nbserver') -or (Test-Record 'folder' $Programs)) { return }
    if (-not (Test-Path -LiteralPath $Programs)) { return }
    Add-Difference installed-path '{path}' 'left over from an earlier installation' $null @{ path = $Programs }
    New-Conflict $Programs $true (New-Failure earlier-folder ('{path} is left over from an earlier installation, and ' +
            'this host has no record of it. Remove the folder, or set adopt = true in the inventory to use ' +
            'it') @{ path = $Programs })
}

function Compare-Port {
    if (-not (Test-ForeignListener)) { return }
    $port = $Settings.notebook.port
    $name = "TCP port $port"
    $owner = Get-PortOwner $port
    if (-not $owner.Process) {
        Add-Difference port-not-free 'TCP port {port}' 'used by another program' 'free' @{ port = $port }
        return New-Conflict $name $false (New-Failure port-taken-unknown ('TCP port {port} is used by another ' +
                'program. Stop it, or choose another notebook.port in the inventory') @{ port = $port })
    }
    $values = @{ port = $port; program = $owner.Text }
    Add-Difference port-not-free 'TCP port {port}' $values.program 'free' @{ port = $port }
    $dependents = @($owner.Services | ForEach-Object { Get-RunningDependent $_ })
    if ($dependents.Count) {
        $values.services = $dependents -join ', '
        return New-Conflict $name $false (New-Failure port-taken-by-needed-service ('TCP port {port} is used by a ' +
                'service ({program}) that other running services need: {services}. Stop this service and the ' +
                'services that need it, or choose another notebook.port in the inventory') $values)
    }
    New-Conflict $name ($owner.Kind -ne 'nothing') (New-Failure port-taken-by-program ('TCP port {port} is used by ' +
            'another program ({program}). Stop it, or choose another notebook.port in the inventory') $values)
}

# ---- the refusal

# An apply stops here, before anything is changed; a plan reports that it would.
function Assert-NoConflict([object[]]$Conflicts) {
    $failure = Get-Refusal $Conflicts
    if (-not $failure) { return }
    if (-not $Takeover.Reported) {
        foreach ($conflict in $Conflicts) { Write-Event warning (Get-FailureField $conflict.Failure) }
    }
    if ($Run.Mode -eq 'apply') {
        throw $failure
    }
    if (-not $Takeover.Reported) {
        Write-Notice warning apply-will-refuse ('nbserver apply will fail ' +
            'on this host: {cause}') @{ cause = $failure.Message }
    }
}

# Return the failure, or nothing if there is no conflict, or adopt = true is set and enough for all of them.
function Get-Refusal([object[]]$Conflicts) {
    $names = @($Conflicts | ForEach-Object { $_.Name }) -join ', '
    $blocking = @($Conflicts | Where-Object { -not $_.Adoptable } | ForEach-Object { $_.Name })
    if ($blocking.Count) {
        return New-Failure takeover-impossible ('the notebook server conflicts with the following on this host: ' +
            '{names}. Stop or remove {blocking}, which adopt = true cannot replace, then run nbserver apply again') @{
            names = $names; blocking = $blocking -join ', '
        }
    }
    if ($Settings.adopt -or -not $names) { return }
    New-Failure takeover-refused ('the notebook server conflicts with the following on this host: {names}. Remove ' +
        'these items, or set adopt = true in the inventory to replace them (undo restores them), then run nbserver ' +
        'apply again') @{
        names = $names
    }
}

# ---- the port

# True if a program other than our server listens on the notebook port.
function Test-ForeignListener {
    (Test-PortListening $Settings.notebook.port) -and -not (Test-OwnListener)
}

# True if our server listens: it shows our certificate, or the program that listens is in our folder.
function Test-OwnListener {
    if (-not (Test-Record 'task' 'nbserver')) { return $false }
    $certificate = Get-ServerCertificate
    if ($certificate -and (Get-ServerFingerprint) -eq (Get-Fingerprint $certificate)) { return $true }
    $port = $Settings.notebook.port
    $processes = @(Get-PortProcess $port)
    if (-not $processes.Count) { return (Test-DeployedPort $port) -and (Test-TaskRunning 'nbserver') }
    [bool]@($processes | Where-Object { Test-Below $_.ExecutablePath $Programs }).Count
}

# ---- what does not harm this server

# A rule that opens no other port can be disabled; a rule for more ports is kept.
function Compare-OpenPortRule {
    foreach ($rule in Get-OpenPortRule) {
        if ($Settings.adopt -and $rule.Alone) {
            Add-Difference port-rule-enabled 'firewall rule "{display_name}" ({name})' 'enabled' 'disabled' @{
                display_name = $rule.DisplayName; name = $rule.Name
            }
            continue
        }
        if ($Takeover.Reported) { continue }
        $values = @{ display_name = $rule.DisplayName; name = $rule.Name; port = $Settings.notebook.port }
        if ($rule.Alone) {
            Write-Notice warning port-rule-kept ('the firewall rule "{display_name}" ({name}) also opens TCP port ' +
                '{port}, regardless of firewall.remote_addresses. Disable this rule, or set adopt = true in the ' +
                'inventory to let nbserver disable it') $values
        }
        else {
            Write-Notice warning ports-rule-kept ('the firewall rule "{display_name}" ({name}) opens TCP port {port} ' +
                'and other ports, regardless of firewall.remote_addresses. Remove port {port} from this rule') $values
        }
    }
}

function Compare-HidingPathEntry {
    foreach ($entry in Get-HidingPathEntry) {
        if ($Settings.adopt) { Add-Difference path-entry 'PATH' $entry $null }
        elseif (-not $Takeover.Reported) {
            Write-Notice warning path-entry-kept ('{entry} comes before the nbserver entries in PATH, so Windows ' +
                'finds the programs in {entry} first. Set adopt = true in the inventory to remove this entry from ' +
                'PATH') @{ entry = $entry }
        }
    }
}

function Write-Leftover {
    if ($Takeover.Reported -or (Test-Record 'task' 'nbserver')) { return }
    foreach ($folder in Get-EarlierProfile) {
        Write-Notice warning earlier-profile ('{path} was created by an earlier notebook server and was kept. If you ' +
            'need the notebooks in it, copy them to {directory}') @{
            path = $folder; directory = Expand-Path $Settings.notebook.directory
        }
    }
    if ($Settings.adopt -and (Test-Path -LiteralPath $Programs) -and -not (Test-Record 'folder' $Programs)) {
        Write-Notice warning adopted-folder ('nbserver did not create {path}, but uses it because adopt = true is ' +
            'set in the inventory. Undo will keep this folder') @{ path = $Programs }
    }
}

# ---- changes: undo restores what is recorded

function Save-EarlierTask {
    $task = Get-TaskXml 'nbserver'
    if (-not $task -or (Test-Record 'task' 'nbserver')) { return }
    Save-TaskState '\nbserver'
    Save-Before 'task' 'nbserver' $task
    Stop-Task 'nbserver'
}

function Save-EarlierRule {
    if ($Settings.skip -contains 'firewall') { return }
    $rule = Get-FirewallRule 'nbserver'
    if ($rule) { Save-Before 'firewall_rule' 'nbserver' $rule }
}
