# ==== body: to the end, the script is the same for every Windows host of a release with the same scope =
# Order: prelude (what the steps may use), steps (each has a Test and an Apply), main (runs the steps).

# ---- prelude: run ----------------------------------------------------------------------------------
# Check the language mode, and set the module path and the state of this run.

# True for a file, run by hand or by the bootstrap; false for the text of a remote pipeline.
$IsFile = "$($MyInvocation.MyCommand.CommandType)" -eq 'ExternalScript'

# If application control or the endpoint restricts the language of PowerShell, only commands and a few types work:
# enough to report it in two events, but not to hash this script. Nothing has been changed at this point.
if ("$($ExecutionContext.SessionState.LanguageMode)" -ne 'FullLanguage') {
    $Head = '{"v":1,"time":"' + [DateTime]::UtcNow.ToString('o') + '","step":"","n":'
    $Head + '1,"event":"failed","code":"restricted-language",' +
    '"values":{"mode":"' + $ExecutionContext.SessionState.LanguageMode + '"},' +
    '"text":"PowerShell runs in ' + $ExecutionContext.SessionState.LanguageMode + ' mode, and this script needs ' +
    'FullLanguage. Ask for an exception for this script in the application control policy of this host (WDAC or ' +
    'AppLocker). If only the endpoint is restricted, set configuration_name in the inventory to another endpoint"}'
    $Head + '2,"event":"finished","outcome":"failed","differs":false,"changed":0,"reboot":false,"fingerprint":""}'
    if ($IsFile) { exit 3 }
    return
}

# Commands come only from modules of Windows: PSModulePath may contain a folder that others can write to.
$ModulePath = $env:PSModulePath
$env:PSModulePath = "$PSHOME\Modules;$env:SystemRoot\System32\WindowsPowerShell\v1.0\Modules"

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Utf8 = New-Object Text.UTF8Encoding $false              # the encoding of every file that is written: no BOM
$Steps = New-Object Collections.ArrayList
$Run = @{
    Id = ''; Mode = ''; Operator = ''; After = 0; Restarts = 0; BootBefore = ''   # from the envelope
    Asks = $true                                         # for what is missing: a run without an envelope, by hand
    ClockAhead = [TimeSpan]::Zero                        # of this host, compared with the workstation
    Script = ''; Evidence = ''                           # hashes: of this script, and of what the sender keeps
    Thorough = $false; Repair = $false                   # whether to read all installed files, or to install them again
    Archived = ''                                        # hash of the archived notebooks that an undo removes
    Log = @{ Lines = 100; Since = '-'; Seconds = 0; Cursor = '-' }   # which lines of the server's log to send
    FormerSalt = ''; NewSalt = $false                    # which password hashes may be replaced: see step notebook
    Step = ''; Differences = $null                       # of the step that runs
    Events = 0; EventFile = ''; EventStream = $null; NotKept = $null; Pipeline = $null; Stopped = $false
    Ended = $false                                       # it has reverted its temporary changes, and reported its end
    Lock = $null; Owner = ''; Left = ''                 # the lock, its first line, and what a killed run left in it
    Boot = ''; Reboot = $false; Restarting = $false; Pending = ''
    Outcome = 'ok'; Changed = 0; Differs = $false; Fingerprint = ''
    Failure = $null; Installing = $false                 # why it failed; it has begun to install an environment
    StoppedEarly = $false; Answered = $false             # it stopped the server early, and the server had answered
    NewSettings = $false                                 # what the server reads when it starts differs
    RollbackBegun = $false                               # the server starts from its previous environment
    ExitCode = 0; Output = @()                           # of the last program
    ForeignNamed = $false
}

# Test reports what differs and changes nothing; Apply makes the changes. A bracket is applied before the other
# steps, only if one of them has work to do, and is undone when they are done or have failed.
function Add-Step {
    param([string]$Name, [string]$Title, [scriptblock]$Test, [scriptblock]$Apply, [switch]$Bracket)
    [void]$Steps.Add(@{ Name = $Name; Title = $Title; Test = $Test; Apply = $Apply; Bracket = [bool]$Bracket })
}

# What parts of the prelude do before a run, when it has begun, when a run that makes changes has started, before it
# finishes, before an undo, when Windows must restart, and after the other findings of a check: script blocks, by name.
$Hooks = @{
    BeforeRun = @(); Begun = @(); Started = @(); Finished = @(); BeforeUndo = @(); AtRestart = @(); Check = @()
}

function Add-Hook([string]$Name, [scriptblock]$Block) { $Hooks[$Name] += $Block }

function Invoke-Hook([string]$Name) {
    foreach ($hook in $Hooks[$Name]) { & $hook }
}

# What each mode of a run does: script blocks, by name. main has these, and parts of the prelude add others.
$Modes = @{ test = $null; check = $null; status = $null; apply = $null; undo = $null; events = $null }

# Whether this run may change the host. Other runs leave nothing on it. Parts of the prelude add modes.
$ChangingModes = @('apply', 'undo')

function Test-Change { $ChangingModes -contains $Run.Mode }

# Settings contain paths such as %ProgramFiles%\...; the host expands them.
function Expand-Path([string]$Path) {
    [Environment]::ExpandEnvironmentVariables($Path)
}

# Return the folder of the notebooks that the settings name, in the form that the server reports.
function Get-NotebookPath { (Expand-Path $Settings.notebook.directory).TrimEnd('\') }
