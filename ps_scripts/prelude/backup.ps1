# ---- prelude: backup -------------------------------------------------------------------------------
# Send what a backup contains except notebooks: modes backup and backup-key.

# The configuration (with the hash of the password), the certificate, and the record. The private key is not sent.
# Mode backup-key sends it, too.
$Modes.backup = { Send-Backup }
$Modes['backup-key'] = {
    Send-Backup
    Send-BackupFile 'configuration/key.pem' $KeyFile
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
