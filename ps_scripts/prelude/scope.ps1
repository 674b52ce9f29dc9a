# ---- prelude: scope --------------------------------------------------------------------------------
# Set the folders and access lists for scope = "user", and the names that both scopes use.

# In user scope, everything belongs to the user who runs this, below their local folder. No administrator rights are
# needed, and no program, account, task, rule, PATH or registry value of Windows is changed.

$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$SkippedSteps = @($Settings.skip)                        # main neither tests nor applies these
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
    $SkippedSteps += 'ie_esc', 'path', 'takeover', 'firewall'   # these concern the whole machine
    # The server is a process of this user, so the user has full control of it. GetSddlForm writes the list in the form
    # in which it is compared: Windows abbreviates some SIDs.
    $access = New-Object Security.AccessControl.RawSecurityDescriptor "$AdministratorsOnly(A;OICI;FA;;;$UserSid)"
    $ServiceReads = $access.GetSddlForm('Access')
    $ServiceWrites = $ServiceReads
    $StateOwner = $UserSid
    $StateAccess = $ServiceReads
    $Trusted += $UserSid
    $UserFolder = $env:LOCALAPPDATA
}
$ProcessFile = Join-Path $StateFolder 'process'          # of the server that runs in the background

function Assert-Scope {
    if ($Settings.scope -ne 'user') { return }
    if ($UserSid -eq 'S-1-5-18') {
        throw (New-Failure user-scope-as-system ('this runs as SYSTEM, but scope = "user" is for the account of a ' +
                'person. Run it as the user of the notebook server, or set scope = "machine"'))
    }
    if ("$env:LOCALAPPDATA" -cnotmatch '\A[A-Za-z]:\\.' -or -not (Test-Path -LiteralPath $env:LOCALAPPDATA)) {
        throw (New-Failure local-folder-invalid ('LOCALAPPDATA is "{folder}", which is not a folder on a drive. ' +
                'Log on with your own profile, and do not change this variable') @{ folder = $env:LOCALAPPDATA })
    }
}
