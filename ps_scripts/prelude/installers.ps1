# ---- prelude: publishers' installers -------------------------------------------------------------------

# What their exit codes mean. Source: "Windows Installer error messages" on learn.microsoft.com; WiX bundles
# (Python, Visual C++) end with the same codes.
$InstallerWords = @{
    1602 = 'it was cancelled'
    1603 = 'it failed; its log is beside this run''s events on the host'
    1618 = 'another installer runs on this host. Wait until it has ended, then run this again'
    1625 = 'a policy of this host forbids it. Ask for an exception'
    1638 = 'another version is installed already. Remove it, or choose that version in the inventory'
}

# Beside the installer while it runs. One that was cut off leaves this mark, and perhaps half of its files:
# the step runs it again, whatever is there.
function Test-CutOff([string]$File) { Test-Path -LiteralPath "$File.running" }

# Runs an installer to its end. While another one runs (1618) it is tried again, for five minutes.
# $Program is what runs it, where it is none itself.
function Invoke-Installer([string]$File, [string[]]$Arguments, [string]$Program = $File) {
    Write-TextFile "$File.running" ''
    for ($waited = 0; ; $waited += 5) {
        try { Invoke-Program $Program $Arguments -Accept (@(0, 1641, 3010) + @($InstallerWords.Keys)) }
        catch { Remove-Item -LiteralPath "$File.running" -Force; throw }   # it has ended, in a way of its own
        if ($Run.ExitCode -ne 1618 -or $waited -ge 300) { break }
        Write-Event progress @{ what = 'waiting for another installer to end'; done = $waited; total = 300; unit = 'seconds' }
        [Threading.Thread]::Sleep(5000)
    }
    Remove-Item -LiteralPath "$File.running" -Force
    if ($Run.ExitCode -eq 3010 -or $Run.ExitCode -eq 1641) { $Run.Reboot = $true }
    elseif ($Run.ExitCode) { throw "$(Split-Path -Leaf $File) ended with code $($Run.ExitCode): $($InstallerWords[$Run.ExitCode])" }
}

function Get-InstallerLog([string]$Name) { Join-Path $StateFolder "runs\$($Run.Id)\$Name.log" }

# ---- Windows Installer packages. The file stays in the cache: Windows needs it to remove what it brought.

$MsiExec = Join-Path $env:SystemRoot 'System32\msiexec.exe'

function Install-Msi([string]$File) {
    Save-Before 'msi' $File $null
    Invoke-Installer $File @('/i', $File, '/qn', '/norestart', '/l*v', (Get-InstallerLog 'msi')) $MsiExec
}

$Restore.msi = {
    param($File)
    if (-not (Test-Path -LiteralPath $File)) { throw "$File is gone, so Windows Installer cannot remove what it brought: use Apps in Settings" }
    # Windows knows nothing of a product that was cut off before its end, and would leave its files.
    if (Test-CutOff $File) { Install-Msi $File }
    Invoke-Program $MsiExec @('/x', $File, '/qn', '/norestart') -Accept 0, 3010, 1605   # 1605: it is not installed
    if ($Run.ExitCode -eq 3010) { $Run.Reboot = $true }
}

# ---- bundles (WiX Burn): Python's and Visual C++'s. $Before is the version that one of them replaced.

function Install-Bundle([string]$File, [string[]]$Arguments, $Before) {
    Save-Before 'bundle' $File $Before
    Invoke-Installer $File $Arguments
}

$Restore.bundle = {
    param($File, $Before)
    if ($Before) { Write-Event warning @{ text = "$(Split-Path -Leaf $File) replaced version $Before, which it cannot bring back; the newer one stays" }; return }
    if (-not (Test-Path -LiteralPath $File)) { throw "$File is gone, so it cannot remove what it brought: use Apps in Settings" }
    Invoke-Program $File @('/uninstall', '/quiet', '/norestart') -Accept 0, 3010, 1605
    if ($Run.ExitCode -eq 3010) { $Run.Reboot = $true }
}

# ---- Inno Setup: OpenSSL's exe. It puts its own uninstaller into the folder.

function Install-Inno([string]$File, [string]$Folder) {
    Save-Before 'inno' $Folder $null
    Invoke-Installer $File @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART', '/SP-', "/DIR=$Folder", "/LOG=$(Get-InstallerLog 'inno')")
}

$Restore.inno = {
    param($Folder)
    $uninstaller = Join-Path $Folder 'unins000.exe'
    if (Test-Path -LiteralPath $uninstaller) { Invoke-Program $uninstaller @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART') }
    Remove-Folder $Folder
}
