# ---- step: notebook ------------------------------------------------------------------------------------
# The server's configuration: HTTPS only, password as an argon2 hash, one port and no other, no browser.
# The service can read these files and cannot write them. The program that starts the server is in prelude/starter: it
# keeps other configuration out, and compares each of these values with what the server would do.

$ConfigurationFile = Join-Path $ServiceFolder 'jupyter_server_config.json'
$MigratedFile = Join-Path $ServiceFolder 'migrated'

$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
$SaltPattern = '\Aargon2:\$argon2id\$v=[0-9]+\$[a-z0-9,=]+\$([A-Za-z0-9+/]+)\$[A-Za-z0-9+/]+\z'
$Salts = @{ Set = ''; Sent = '' }   # of the hash that is set, and of the one that came with this run

# A salt is not secret. It is the same for a whole site (nbserver.salt), so that a second run sends the same hash.
function Read-Salts {
    $Salts.Set = ''
    $Salts.Sent = Get-SecretPart 'notebook.password_hash' $SaltPattern
    if (Test-Path -LiteralPath $ConfigurationFile) {
        $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
        $Salts.Set = [regex]::Match($set, $SaltPattern).Groups[1].Value
    }
}

# After Read-Salts: another one most likely means that the workstation has not the site's. The one that an earlier
# release made for this host is simply replaced.
function Test-OtherSalt {
    $Salts.Set -and $Salts.Sent -and $Salts.Set -cne $Salts.Sent -and $Salts.Set -cne $Run.FormerSalt
}

# @notebook.password_hash@ is put in only when the file is written. A log-in lasts for the session's hours: the
# browser forgets its cookie then, and the server refuses it.
function Get-Configuration {
    $days = [Math]::Round($Settings.notebook.session / 24, 6)
    $configuration = [ordered]@{
        ServerApp = [ordered]@{
            ip = $Settings.notebook.ip
            port = $Settings.notebook.port
            port_retries = 0
            base_url = '/'
            open_browser = $false
            allow_remote_access = $true
            allow_unauthenticated_access = $false
            allow_origin = ''
            allow_origin_pat = ''
            allow_credentials = $false
            disable_check_xsrf = $false
            allow_password_change = $false   # an older name of the one below, which the server still has
            root_dir = (Expand-Path $Settings.notebook.directory).TrimEnd('\')   # as the server tells it
            certfile = $CertificateFile
            keyfile = $KeyFile
        }
        PasswordIdentityProvider = [ordered]@{
            hashed_password = '@notebook.password_hash@'
            password_required = $true
            allow_password_change = $false
        }
        IdentityProvider = [ordered]@{
            token = ''
            cookie_options = [ordered]@{ expires_days = $days }
            get_secure_cookie_kwargs = [ordered]@{ max_age_days = $days }
        }
    }
    ConvertTo-AsciiJson ((ConvertTo-Json $configuration -Depth 4) -replace "`r", '')   # Jupyter reads it in the host's code page
}

# Whether the server that was set up before has this port.
function Test-DeployedPort([int]$Port) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $false }
    [IO.File]::ReadAllText($ConfigurationFile, $Utf8) -cmatch "`"port`":\s+$Port\b"
}

Add-Step notebook 'the notebook server is configured: HTTPS, password, its own folders' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    Compare-Folder $WorkFolder $ServiceWrites
    $directory = Expand-Path $Settings.notebook.directory
    if (-not (Test-ServiceGrant $directory)) { Difference "the service's access to $directory" 'none' 'modify' }
    Read-Salts
    $other = Test-OtherSalt
    if ($other) { Difference "the salt of the password hash in $ConfigurationFile" $Salts.Set $Salts.Sent }
    if (-not (Test-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash' -Around:$other)) {
        Difference $ConfigurationFile 'another or none' 'as in the settings'
    }
    if (-not (Test-TextFile $StarterFile $Starter)) { Difference $StarterFile 'different or missing' 'as in this script' }
} -Apply {
    Read-Salts
    if ((Test-OtherSalt) -and -not $Run.NewSalt) {
        throw ("the password hash in $ConfigurationFile has the salt $($Salts.Set), that of this run $($Salts.Sent). " +
            'Put the nbserver.salt of this site back next to the inventory, ' +
            'or use --new-salt: a new salt means a new hash, and the server restarts')
    }
    if ($Settings.scope -eq 'user') { Read-KeptSecret 'notebook.password_hash' $ConfigurationFile $HashPattern }
    Request-Secret 'notebook.password_hash' 'Hash of the notebook password (nbserver hash-password makes it)'
    Add-Folder $ServiceFolder $ServiceReads
    Add-Folder $WorkFolder $ServiceWrites
    Add-DataFolder (Expand-Path $Settings.notebook.directory)
    Set-TextFile $MigratedFile ''   # Jupyter would write this file itself at its second start, and may not
    Set-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash'
    Set-TextFile $StarterFile $Starter
}
