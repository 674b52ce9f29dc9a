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
# Those of Inno Setup. Source: "Setup Exit Codes" on jrsoftware.org.
$InnoWords = @{
    1 = 'it could not start'
    2 = 'it was cancelled before it began'
    3 = 'it failed before it began: memory or other resources of Windows may be used up'
    4 = 'it failed; its log is beside this run''s events on the host'
    5 = 'it was cancelled, or could not write a file; its log is beside this run''s events on the host'
    6 = 'it was ended by a debugger'
    7 = 'it cannot go on as this host is; its log is beside this run''s events on the host'
    8 = 'it cannot go on before Windows has restarted. Restart it, then run this again'
}
$InstallerPatience = 300   # seconds for which another installer is waited for

# Beside the installer while it runs. One that was cut off leaves this mark, and perhaps half of its files:
# the step runs it again, whatever is there.
function Test-CutOff([string]$File) { Test-Path -LiteralPath "$File.running" }

# Runs an installer or an uninstaller to its end. While another one runs (1618) it is tried again. $Name is
# what a person reads of, $Also are codes that are no failure either.
function Invoke-Waiting([string]$Program, [string[]]$Arguments, [string]$Name, [hashtable]$Words = $InstallerWords, [int[]]$Also = @()) {
    for ($waited = 0; ; $waited += 5) {
        Invoke-Program $Program $Arguments -Accept (@(0, 1618, 1641, 3010) + $Also + @($Words.Keys))
        if ($Run.ExitCode -ne 1618 -or $waited -ge $InstallerPatience) { break }
        Write-Event progress @{ what = 'waiting for another installer to end'; done = $waited; total = $InstallerPatience; unit = 'seconds' }
        [Threading.Thread]::Sleep(5000)
    }
    if ($Run.ExitCode -eq 3010 -or $Run.ExitCode -eq 1641) { $Run.Reboot = $true }
    elseif ($Run.ExitCode -and $Also -notcontains $Run.ExitCode) { throw "$Name ended with code $($Run.ExitCode): $($Words[$Run.ExitCode])" }
}

# $Program is what runs the file, where it is none itself.
function Invoke-Installer([string]$File, [string[]]$Arguments, [string]$Program = $File, [hashtable]$Words = $InstallerWords) {
    Write-TextFile "$File.running" ''
    try { Invoke-Waiting $Program $Arguments (Split-Path -Leaf $File) $Words }
    catch { Remove-Item -LiteralPath "$File.running" -Force; throw }   # it has ended, in a way of its own
    Remove-Item -LiteralPath "$File.running" -Force
}

function Get-InstallerLog([string]$Name) { Join-Path $StateFolder "runs\$($Run.Id)\$Name.log" }

# ---- Windows Installer packages. The file stays in the cache. Where somebody has cleared that, Windows' own
# ---- copy is enough to remove what it brought.

$MsiExec = Join-Path $env:SystemRoot 'System32\msiexec.exe'
$MsiProducts = 'HKLM:\SOFTWARE\Classes\Installer\Products'

function Install-Msi([string]$File) {
    Save-Before 'msi' $File $null
    Invoke-Installer $File @('/i', $File, '/qn', '/norestart', '/l*v', (Get-InstallerLog 'msi')) $MsiExec
}

# The product that was installed from a file of this name, as {GUID}; nothing where there is none. The name of
# its key has the digits of each byte of that GUID turned round.
function Get-ProductCode([string]$File) {
    if (-not (Test-Path -LiteralPath $MsiProducts)) { return }
    foreach ($name in @(Get-ChildItem -LiteralPath $MsiProducts | ForEach-Object { $_.PSChildName })) {
        $package = Get-RegistryValue "$MsiProducts\$name\SourceList" PackageName
        if (-not $package -or $name -cnotmatch '\A[0-9A-F]{32}\z' -or $package.value -ne (Split-Path -Leaf $File)) { continue }
        $bytes = @(for ($i = 0; $i -lt 32; $i += 2) { [Convert]::ToByte("$($name[$i + 1])$($name[$i])", 16) })
        "{$(New-Object Guid (, [byte[]]$bytes))}"
    }
}

$Restore.msi = {
    param($File)
    Assert-NoLink $File
    $product = $File
    if (-not (Test-Path -LiteralPath $File)) {
        $product = Get-ProductCode $File
        if (-not $product) { Write-Event log @{ text = "$File is gone, and so is what it brought" }; return }
    }
    # Windows knows nothing of a product that was cut off before its end, and would leave its files.
    elseif (Test-CutOff $File) { Install-Msi $File }
    Invoke-Waiting $MsiExec @('/x', $product, '/qn', '/norestart') (Split-Path -Leaf $File) -Also 1605   # it is not installed
}

# ---- bundles (WiX Burn): Python's and Visual C++'s. $Before is the version that one of them replaced.

$UninstallKeys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall', 'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall'

function Install-Bundle([string]$File, [string[]]$Arguments, $Before) {
    Save-Before 'bundle' $File $Before
    Invoke-Installer $File $Arguments
}

# The copy that a bundle keeps of itself, under its own name, to be removed with; nothing where none is installed.
function Get-BundleCopy([string]$Name) {
    foreach ($root in $UninstallKeys) {
        if (-not (Test-Path -LiteralPath $root)) { continue }
        foreach ($key in @(Get-ChildItem -LiteralPath $root)) {
            $copy = Get-RegistryValue "$root\$($key.PSChildName)" BundleCachePath
            if ($copy -and (Split-Path -Leaf $copy.value) -eq $Name -and (Test-Path -LiteralPath $copy.value)) { return [string]$copy.value }
        }
    }
}

$Restore.bundle = {
    param($File, $Before)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    if ($Before) { Write-Event warning @{ text = "$name replaced version $Before, which it cannot bring back; the newer one stays" }; return }
    if (-not (Test-Path -LiteralPath $File)) {
        $own = $name -creplace '\A[0-9a-f]{16}-', ''   # the cache puts the beginning of its hash before it
        $copy = Get-BundleCopy $own
        if (-not $copy) { Write-Event log @{ text = "$File is gone, and so is what it brought" }; return }
        # Under a name without a version it may be a newer one, which another program has brought.
        if ($own -notmatch '\d+\.\d+\.\d+') { Write-Event warning @{ text = "$File is gone, and $copy may be a newer one that other programs need. It stays: remove it in Apps in Settings if none does" }; return }
        $File = $copy
    }
    Invoke-Waiting $File @('/uninstall', '/quiet', '/norestart') $name -Also 1605
}

# ---- Inno Setup: OpenSSL's exe. It puts its own uninstaller into the folder. Its task copytobin keeps the DLLs
# ---- there: left to itself it copies them to System32, for every process of this host. Source: pull request
# ---- 13203 of actions/runner-images. A restart that it needs is told as 3010: "Setup Command Line Parameters".

function Install-Inno([string]$File, [string]$Folder) {
    Save-Before 'inno' $Folder $null
    Invoke-Installer $File @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART', '/RESTARTEXITCODE=3010', '/SP-', '/TASKS=copytobin', "/DIR=$Folder",
        "/LOG=$(Get-InstallerLog 'inno')") -Words $InnoWords
}

$Restore.inno = {
    param($Folder)
    Assert-NoLink $Folder
    $uninstaller = Join-Path $Folder 'unins000.exe'
    if (Test-Path -LiteralPath $uninstaller) { Invoke-Program $uninstaller @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART') }
    Remove-Folder $Folder
}
