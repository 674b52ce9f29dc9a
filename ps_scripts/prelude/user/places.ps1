# ---- prelude: places -------------------------------------------------------------------------------
# Set the folders of nbserver in the profile of this user, and who has access to them.

# Everything belongs to the user who runs this, below their local folder. No administrator rights are needed, and no
# program, account, task, rule, PATH or registry value of Windows is changed.

$Programs = "$env:LOCALAPPDATA\nbserver\programs"
$StateFolder = "$env:LOCALAPPDATA\nbserver\state"
$ServiceFolder = Join-Path $StateFolder 'service'        # configuration, certificate, key
$WorkFolder = Join-Path $StateFolder 'work'              # what the server and its kernels write
$CacheFolder = Join-Path $StateFolder 'cache'            # lock files, and uv
$RecordFile = Join-Path $StateFolder 'record.jsonl'      # the previous state, for undo
$LockFile = Join-Path $StateFolder 'lock'                # locked while a run changes something
$ServerLog = Join-Path $StateFolder 'server.log'
$ProcessFile = Join-Path $StateFolder 'process'          # of the server that runs in the background
$TopFolders = $env:LOCALAPPDATA, $env:USERPROFILE        # links above them come from Windows or an administrator

# The kinds in the record whose keys are paths in these folders.
$PathKinds = 'folder', 'access', 'file', 'process'

# The server is a process of this user, so the user has full control of its files, in addition to SYSTEM (S-1-5-18) and
# administrators (S-1-5-32-544). GetSddlForm writes the list in the form in which it is compared: Windows abbreviates
# some SIDs.
$Trusted = 'S-1-5-18', 'S-1-5-32-544', $UserSid         # undo may act on what they wrote
$Access = New-Object Security.AccessControl.RawSecurityDescriptor "$AdministratorsOnly(A;OICI;FA;;;$UserSid)"
$ServiceReads = $Access.GetSddlForm('Access')
$ServiceWrites = $ServiceReads
$StateAccess = $ServiceReads
$StateOwner = $UserSid

Add-Hook BeforeRun { Assert-Account }

function Assert-Account {
    if ($UserSid -eq 'S-1-5-18') {
        throw (New-Failure user-scope-as-system ('scope = "user" cannot be used with the SYSTEM account. Run ' +
                'nbserver under the account that the notebook server should use, or set scope = "machine" in the ' +
                'inventory'))
    }
    if ("$env:LOCALAPPDATA" -cnotmatch '\A[A-Za-z]:\\.' -or -not (Test-Path -LiteralPath $env:LOCALAPPDATA)) {
        throw (New-Failure local-folder-invalid ('LOCALAPPDATA is "{folder}", but it must be an existing folder with ' +
                'a drive letter. Remove the LOCALAPPDATA variable that you set, sign in ' +
                'again, then try again') @{ folder = $env:LOCALAPPDATA })
    }
}
