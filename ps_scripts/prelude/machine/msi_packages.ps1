# ---- prelude: msi_packages -------------------------------------------------------------------------
# Install packages of Windows Installer (.msi), and remove them.

$MsiExec = Join-Path $env:SystemRoot 'System32\msiexec.exe'
$MsiProducts = 'HKLM:\SOFTWARE\Classes\Installer\Products'

# The file stays in the cache, where undo finds it. If it was deleted, Windows has its own copy, which is enough to
# remove what the package installed.
function Install-Msi([string]$File) {
    Save-Before 'msi' $File $null
    Invoke-Installer $File @('/i', $File, '/qn', '/norestart', '/l*v', (Get-InstallerLog 'msi')) $MsiExec
}

# Return the code of the product that was installed from a file of this name, as {GUID}; or nothing.
function Get-ProductCode([string]$File) {
    if (-not (Test-Path -LiteralPath $MsiProducts)) { return }
    foreach ($name in @(Get-ChildItem -LiteralPath $MsiProducts | ForEach-Object { $_.PSChildName })) {
        if ($name -cnotmatch '\A[0-9A-F]{32}\z') { continue }
        $package = Get-RegistryValue "$MsiProducts\$name\SourceList" PackageName
        if ($package -and $package.value -eq (Split-Path -Leaf $File)) { ConvertFrom-PackedGuid $name }
    }
}

# The key of a product is its code in packed form: the 32 hexadecimal digits of the GUID's 16 bytes, in the order in
# which Windows stores them, with the two digits of each byte swapped. The byte 0x1A is written as A1.
function ConvertFrom-PackedGuid([string]$Name) {
    $bytes = New-Object byte[] 16
    for ($i = 0; $i -lt 16; $i++) {
        $first = $Name[2 * $i]
        $second = $Name[2 * $i + 1]
        $bytes[$i] = [Convert]::ToByte("$second$first", 16)
    }
    "{$(New-Object Guid (, $bytes))}"
}

# Exit code 1605 means that the product is not installed. Windows does not know a product whose installation was cut
# off, and would leave its files: such an installation is completed first.
$Restore.msi = {
    param($File)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    $product = $File
    if (-not (Test-Path -LiteralPath $File)) {
        $product = Get-ProductCode $File
        if (-not $product) {
            Write-Notice log already-removed ('nothing was uninstalled, because the installer {path} no longer ' +
                'exists and the program that it installed was already removed') @{
                path = $File
            }
            return
        }
    }
    elseif (Test-CutOff $File) { Install-Msi $File }
    Write-StepProgress removing-program 'Removing {program}' @{ program = $name }
    Invoke-Setup $MsiExec @('/x', $product, '/qn', '/norestart') $name -Accept 1605
}
