# ---- prelude: scope = "user": all belongs to the user who runs this, below their own local folder ------
# The machine's places and access lists are above. In this scope no administrator's right is needed, and no
# program, account, task, rule, PATH or registry value of Windows is touched.

$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$SkippedSteps = @($Settings.skip)                        # main runs no Test and no Apply of these
$ServerLog = Join-Path $WorkFolder 'notebook.log'

if ($Settings.scope -eq 'user') {
    $Programs = "$env:LOCALAPPDATA\nbserver\programs"
    $StateFolder = "$env:LOCALAPPDATA\nbserver\state"
    $ServiceFolder = Join-Path $StateFolder 'service'
    $WorkFolder = Join-Path $StateFolder 'work'
    $CacheFolder = Join-Path $StateFolder 'cache'
    $RecordFile = Join-Path $StateFolder 'record.jsonl'
    $LockFile = Join-Path $StateFolder 'lock'
    $ServerLog = Join-Path $StateFolder 'server.log'
    $SkippedSteps += 'ie_esc', 'path', 'takeover', 'firewall'   # these are the machine's
    # The server is a process of this user, who may do with it what they like. Windows has short names for
    # some SIDs in SDDL, so it writes the list itself.
    $ServiceReads = (New-Object Security.AccessControl.RawSecurityDescriptor "$AdministratorsOnly(A;OICI;FA;;;$UserSid)").GetSddlForm('Access')
    $ServiceWrites = $ServiceReads
    $StateOwner = $UserSid
    $StateAccess = $ServiceReads
    $Trusted += $UserSid
    $UserPlace = $env:LOCALAPPDATA
}
$ProcessFile = Join-Path $StateFolder 'process'          # of the server that runs in the background

function Assert-Scope {
    if ($Settings.scope -ne 'user') { return }
    if ($UserSid -eq 'S-1-5-18') { throw 'this runs as SYSTEM, and scope = "user" is for a person. Run it as the one whose server it shall be, or choose scope = "machine"' }
    if ("$env:LOCALAPPDATA" -cnotmatch '\A[A-Za-z]:\\.' -or -not (Test-Path -LiteralPath $env:LOCALAPPDATA)) {
        throw "LOCALAPPDATA is '$env:LOCALAPPDATA', which is no folder on a drive. Log on with your own profile, and leave that variable as Windows sets it"
    }
}
