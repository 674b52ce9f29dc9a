# ---- prelude: backup -------------------------------------------------------------------------------
# Send what a backup contains except notebooks: modes backup and backup-key.

# The configuration (with the hash of the password), the certificate, and the record. The private key is not sent.
# Mode backup-key sends it, too, unless Windows would log it.
$Modes.backup = { Send-Backup }
$Modes['backup-key'] = {
    Assert-OutputNotLogged
    Send-Backup
    Send-BackupFile 'configuration/key.pem' $KeyFile
}

# With these policies, what a session outputs is in its transcript, and what the bootstraps output is in the event log.
# Both may go to a server of the site. Source: about_Group_Policy_Settings on learn.microsoft.com.
$LoggingPolicies = foreach ($hive in 'HKLM:', 'HKCU:') {
    foreach ($product in 'Windows\PowerShell', 'PowerShellCore') {
        "$hive\SOFTWARE\Policies\Microsoft\$product\Transcription|EnableTranscripting"
        "$hive\SOFTWARE\Policies\Microsoft\$product\ModuleLogging|EnableModuleLogging"
    }
}

function Assert-OutputNotLogged {
    foreach ($policy in $LoggingPolicies) {
        $key, $name = $policy -split '\|', 2
        $found = Get-RegistryValue $key $name
        if (-not $found -or [string]$found.value -eq '0') { continue }
        throw (New-Failure output-logged ('a group policy logs what PowerShell outputs on this host ({key}\{name}), ' +
                'so the private key would be in a log. Run nbserver backup without --with-key, or ask the ' +
                'administrator who manages this policy to exempt this host while its key is backed up') @{
                key = $key; name = $name
            })
    }
}

function Send-Backup {
    [void](Get-NotebookFolder)
    Send-BackupFile 'configuration/jupyter_server_config.json' $ConfigurationFile
    Send-BackupFile 'configuration/certificate.pem' $CertificateFile
    Send-BackupFile 'record.jsonl' $RecordFile
}

function Send-BackupFile([string]$Name, [string]$File) {
    if (-not [IO.File]::Exists($File)) { return }
    $stream = Open-Notebook $File
    try { Write-Content @{ Path = $Name; Offset = 0; Length = $stream.Length } $stream } finally { $stream.Close() }
}
