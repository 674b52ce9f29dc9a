# ==== body: from this line to the end the script is the same for every Windows host of a release ========
# Order: prelude (what every step may use), steps (each a Test and an Apply), main (walks the steps).

$IsFile = "$($MyInvocation.MyCommand.CommandType)" -eq 'ExternalScript'   # by hand or by the bootstrap; else a pipeline's text

# Where application control or the endpoint gives PowerShell a restricted language, only commands and a few
# types work: enough to say so, in two events, and not to hash this script. Nothing has been changed then.
if ("$($ExecutionContext.SessionState.LanguageMode)" -ne 'FullLanguage') {
    $Head = '{"v":1,"time":"' + [DateTime]::UtcNow.ToString('o') + '","step":"","n":'
    $Head + '1,"event":"failed","text":"PowerShell runs in ' + $ExecutionContext.SessionState.LanguageMode +
    ' mode here, and this script needs FullLanguage. Ask for an exception for this script in the application control policy of this host' +
    ' (WDAC or AppLocker). If the mode is that of the endpoint only, name another one with configuration_name in the inventory"}'
    $Head + '2,"event":"finished","outcome":"failed","differs":false,"changed":0,"reboot":false,"fingerprint":""}'
    if ($IsFile) { exit 3 }
    return
}

# Commands come from Windows' own modules: PSModulePath may name a folder that others can write in.
$ModulePath = $env:PSModulePath
$env:PSModulePath = "$PSHOME\Modules;$env:SystemRoot\System32\WindowsPowerShell\v1.0\Modules"

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# ---- prelude: places, and the state of this run --------------------------------------------------------

$Programs = Join-Path $env:ProgramFiles 'nbserver'       # only administrators write here
$StateFolder = Join-Path $env:ProgramData 'nbserver'     # only SYSTEM and administrators read or write here
$ServiceFolder = Join-Path $StateFolder 'service'        # configuration, certificate and key: the service reads
$WorkFolder = Join-Path $StateFolder 'work'              # the service's own: it reads and writes
$CacheFolder = Join-Path $StateFolder 'cache'            # downloads
$RecordFile = Join-Path $StateFolder 'record.jsonl'      # what was there before, for undo
$LockFile = Join-Path $StateFolder 'lock'                # held while a run changes this host

$Utf8 = New-Object Text.UTF8Encoding $false              # the one encoding of every file written: no BOM
$Steps = New-Object Collections.ArrayList
$Run = @{
    Id = ''; Mode = ''; Operator = ''; After = 0; Step = ''; Events = 0; EventFile = ''; Lock = $null
    Differences = $null; Changed = 0; Differs = $false; Outcome = 'ok'; Stopped = $false; Reboot = $false; Fingerprint = ''
    Boot = ''; BootBefore = ''; Restarts = 0; Restarting = $false; Pending = ''; ClockAhead = [TimeSpan]::Zero; Unkept = ''
    FormerSalt = ''; NewSalt = $false   # what password hashes a new one may replace; see the step notebook
    ExitCode = 0; Output = @(); ForeignNamed = $false
}

# Test tells what differs and changes nothing; Apply changes it. A bracket is applied before the other
# steps, only when one of them has work to do, and put back when they are done or have failed.
function Step([string]$Name, [string]$Title, [scriptblock]$Test, [scriptblock]$Apply, [switch]$Bracket) {
    [void]$Steps.Add(@{ Name = $Name; Title = $Title; Test = $Test; Apply = $Apply; Bracket = [bool]$Bracket })
}

# A step's Test calls this for each thing that is not as it should be; main tells.
function Difference([string]$What, $Is, $Should) {
    [void]$Run.Differences.Add(@{ what = $What; is = $Is; should = $Should })
}

# Settings name places as %ProgramFiles%\...: this host says where that is.
function Expand-Path([string]$Path) {
    [Environment]::ExpandEnvironmentVariables($Path)
}
