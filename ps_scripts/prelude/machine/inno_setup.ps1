# ---- prelude: inno_setup ---------------------------------------------------------------------------
# Install and remove programs with a setup of Inno Setup, such as OpenSSL's.

# The options are in "Setup Command Line Parameters" on jrsoftware.org; with RESTARTEXITCODE=3010, the setup reports a
# necessary restart as Windows Installer does. The task copytobin keeps the DLLs of OpenSSL in its folder; by default,
# they are copied to System32, for every process of this host. Source: pull request 13203 of actions/runner-images.
function Install-Inno([string]$File, [string]$Folder) {
    Save-Before 'inno' $Folder $null
    $arguments = '/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART', '/RESTARTEXITCODE=3010', '/SP-', '/TASKS=copytobin',
    "/DIR=$Folder", "/LOG=$(Get-InstallerLog 'inno')"
    Invoke-Installer $File $arguments -Inno
}

# The setup has its uninstaller in the folder.
$Restore.inno = {
    param($Folder)
    Assert-NoLink $Folder
    $uninstaller = Join-Path $Folder 'unins000.exe'
    if (Test-Path -LiteralPath $uninstaller) {
        Write-StepProgress removing-program 'Removing {program}' @{ program = Split-Path -Leaf $Folder }
        Invoke-Program $uninstaller @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART')
    }
    Remove-Folder $Folder
}
