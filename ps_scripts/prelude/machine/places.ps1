# ---- prelude: places -------------------------------------------------------------------------------
# Set the folders of nbserver on this host, and who has access to them.

$Programs = Join-Path $env:ProgramFiles 'nbserver'       # programs; only administrators can write
$StateFolder = Join-Path $env:ProgramData 'nbserver'     # only SYSTEM and administrators have access
$ServiceFolder = Join-Path $StateFolder 'service'        # configuration, certificate, key; the service reads
$WorkFolder = Join-Path $StateFolder 'work'              # the service reads and writes
$CacheFolder = Join-Path $StateFolder 'cache'            # downloads
$RecordFile = Join-Path $StateFolder 'record.jsonl'      # the previous state, for undo
$LockFile = Join-Path $StateFolder 'lock'                # locked while a run changes this host
$ServerLog = Join-Path $WorkFolder 'notebook.log'
$TopFolders = @()                                        # links are refused in the whole path, up to the drive

# The kinds in the record whose keys are paths in these folders.
$PathKinds = 'folder', 'access', 'file', 'msi', 'bundle', 'inno'

# ---- accounts, as security identifiers (SIDs)

# The server is a scheduled task of LOCAL SERVICE. Other services use that account too, but the task's process also has
# a SID that no other process has, and only this SID gets access. It consists of S-1-5-87 and the SHA-1 of the task's
# name in upper case; `schtasks /showsid /tn nbserver` shows it.
$ServiceSid = 'S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054'
$LocalService = 'S-1-5-19'
$Trusted = 'S-1-5-18', 'S-1-5-32-544'   # SYSTEM and administrators: undo may act on what they wrote
# The service TrustedInstaller, which owns the files of Windows.
$TrustedInstaller = 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'
$OwnerRights = 'S-1-3-4'                # stands for the owner of the folder, whoever that is

# ---- access lists in SDDL

# SY is SYSTEM, BA administrators; FA full control, 0x1200a9 read and execute, 0x1301bf modify.

$ServiceReads = $AdministratorsOnly + "(A;OICI;0x1200a9;;;$ServiceSid)"
$ServiceWrites = $AdministratorsOnly + "(A;OICI;0x1301bf;;;$ServiceSid)"
$StateAccess = $AdministratorsOnly
$StateOwner = 'BA'
