# ---- step: notebook --------------------------------------------------------------------------------
# Configure the server: HTTPS, one port, and a password, stored as an Argon2 hash.

# The server can read these files and cannot write to them. The program that starts it (prelude/starter) keeps other
# configuration out, and compares each value with what the server would do.

$ConfigurationFile = Join-Path $ServiceFolder 'jupyter_server_config.json'
$MigratedFile = Join-Path $ServiceFolder 'migrated'

$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
$SaltPattern = '\Aargon2:\$argon2id\$v=[0-9]+\$[a-z0-9,=]+\$([A-Za-z0-9+/]+)\$[A-Za-z0-9+/]+\z'
$HashPrompt = 'Hash of the notebook password (nbserver hash-password creates it)'
$Salts = @{ Set = ''; Sent = '' }   # of the hash on this host, and of the hash that was sent with this run

# A salt is not secret. All hosts of a site have the same one (nbserver.salt), so that a second run sends the same hash.
function Read-Salt {
    $Salts.Set = ''
    $Salts.Sent = Get-SecretPart 'notebook.password_hash' $SaltPattern
    if (Test-Path -LiteralPath $ConfigurationFile) {
        $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
        $Salts.Set = [regex]::Match($set, $SaltPattern).Groups[1].Value
    }
}

# After Read-Salt: true if the salts differ, which usually means that the workstation lacks nbserver.salt. The salt that
# an earlier release created for this host alone may be replaced.
function Test-OtherSalt {
    $Salts.Set -and $Salts.Sent -and $Salts.Set -cne $Salts.Sent -and $Salts.Set -cne $Run.FormerSalt
}

function Assert-Salt {
    Read-Salt
    if ((Test-OtherSalt) -and -not $Run.NewSalt) {
        throw (New-Failure salt-differs ('the password hash in {file} has the salt {is}, but this run sent a hash ' +
                'with the salt {sent}. Restore the previous nbserver.salt file next to the inventory, or run ' +
                'nbserver apply --new-salt, which replaces the hash ' +
                'and restarts the server') @{ file = $ConfigurationFile; is = $Salts.Set; sent = $Salts.Sent })
    }
}

# Return the configuration as JSON. @notebook.password_hash@ is replaced when the file is written. A login lasts as long
# as the setting session says: after that, the browser forgets its cookie, and the server refuses it.
function Get-Configuration {
    $days = [Math]::Round($Settings.notebook.session / 24, 6)
    $configuration = [ordered]@{
        ServerApp = Get-ServerSetting
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
    if ($Settings.notebook.cull_idle_seconds) { $configuration.MappingKernelManager = Get-IdleSetting }
    if ($Settings.notebook.collaboration) { $configuration.YDocExtension = [ordered]@{ disable_rtc = $false } }
    # Jupyter reads the file in the code page of the host, so it is ASCII.
    ConvertTo-AsciiJson ((ConvertTo-Json $configuration -Depth 4) -replace "`r", '')
}

# When a kernel that runs nothing is stopped, also if a browser is connected to it. A busy one never is.
function Get-IdleSetting {
    [ordered]@{
        cull_idle_timeout = $Settings.notebook.cull_idle_seconds
        cull_interval = 60
        cull_connected = $true
        cull_busy = $false
    }
}

function Get-ServerSetting {
    [ordered]@{
        ip = $Settings.notebook.ip
        port = $Settings.notebook.port
        port_retries = 0
        base_url = '/'
        default_url = $(if ($Settings.notebook.interface -eq 'lab') { '/lab' } else { '/tree' })
        open_browser = $false
        allow_remote_access = $true
        allow_unauthenticated_access = $false
        allow_origin = ''
        allow_origin_pat = ''
        allow_credentials = $false
        disable_check_xsrf = $false
        allow_password_change = $false   # an older name, which the server still has
        root_dir = Get-NotebookPath
        certfile = $CertificateFile
        keyfile = $KeyFile
    }
}

# True if the server that an earlier run configured has this port.
function Test-DeployedPort([int]$Port) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $false }
    [IO.File]::ReadAllText($ConfigurationFile, $Utf8) -cmatch "`"port`":\s+$Port\b"
}

function Compare-Configuration {
    Read-Salt
    $other = Test-OtherSalt
    if ($other) {
        Add-Difference salt 'password hash salt in {file}' $Salts.Set $Salts.Sent @{ file = $ConfigurationFile }
    }
    if (-not (Test-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash' -Around:$other)) {
        Add-Difference file-content '{file}' 'different or missing' 'as in the settings' @{ file = $ConfigurationFile }
    }
    if (-not (Test-TextFile $StarterFile $Starter)) {
        Add-Difference file-content '{file}' 'different or missing' 'as in this script' @{ file = $StarterFile }
    }
}

Add-Step notebook 'The notebook server is configured with HTTPS, a password, and its folders' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    Compare-Folder $WorkFolder $ServiceWrites
    $directory = Expand-Path $Settings.notebook.directory
    if (-not (Test-ServiceGrant $directory)) {
        Add-Difference notebook-folder 'notebook server access to {folder}' 'no access' 'modify' @{
            folder = $directory
        }
    }
    Compare-FirstPage
    if ($Run.Mode -eq 'apply') {
        Assert-Salt
        if (-not $Run.Asks) { Read-PasswordHash }        # it fails before anything is installed
    }
    Compare-Configuration
} -Apply {
    Assert-Salt
    Read-PasswordHash
    Add-Folder $ServiceFolder $ServiceReads
    Add-Folder $WorkFolder $ServiceWrites
    Add-DataFolder (Expand-Path $Settings.notebook.directory)
    Add-FirstPage
    Set-TextFile $MigratedFile ''   # at its second start, Jupyter would create this file, which it is not allowed to
    Set-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash'
    Set-TextFile $StarterFile $Starter
}
