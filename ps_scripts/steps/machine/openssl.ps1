# ---- step: openssl ---------------------------------------------------------------------------------
# Install OpenSSL in a separate folder, or as the publisher's package.

# The catalog says what the download is: "zip" is unpacked into a separate folder; "exe" is an installer of Inno Setup,
# which gets such a folder; "msi" is a package that chooses its folder, so the catalog lists where openssl.exe may be.
# Another version that this script installed is removed first; an OpenSSL of another origin is never replaced.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# Return the version in the file of a program, as three numbers; 0.0.0 if it has none.
function Get-FileVersion([string]$Path) {
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($Path)
    "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"
}

# Return the version without a suffix, such as the a in 3.5.7a.
function Get-WantedOpenSslVersion { $Settings.openssl.version -replace '^(\d+\.\d+\.\d+).*$', '$1' }

# Return the path of openssl.exe: of the places in the catalog, the first one with the wanted version; if there is none,
# the first one that exists; if there is none, the first one.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'msi') { Expand-Path $_ } else { Join-Path (Get-OpenSslFolder) $_ }
        })
    $existing = @($places | Where-Object { Test-Path -LiteralPath $_ })
    foreach ($place in $existing) { if ((Get-FileVersion $place) -eq (Get-WantedOpenSslVersion)) { return $place } }
    @($existing + $places)[0]
}

# Return the lines of the record about packages that this script installed.
function Get-RecordedMsi { Read-Record | Where-Object { $_.kind -eq 'msi' -and $_.step -eq 'openssl' } }

# An OpenSSL that nbserver did not install creates the key only with adopt = true. Undo could not restore its package.
function Assert-ForeignOpenSsl([string]$Path) {
    $is = Get-FileVersion $Path
    if ($is -ne (Get-WantedOpenSslVersion)) {
        throw (New-Failure openssl-would-be-replaced ('OpenSSL {is} ({path}) was not installed by nbserver, and the ' +
                'MSI package for {version} would replace it permanently. Either uninstall OpenSSL {is}, or set ' +
                'openssl.version = "{is}" and adopt = true in the inventory, or use openssl.kind = "zip" with a site ' +
                'catalog') @{
                is = $is; path = $Path; version = $Settings.openssl.version
            })
    }
    if (-not $Settings.adopt) {
        throw (New-Failure openssl-not-adopted ('OpenSSL {is} ({path}) was not installed by nbserver. Set adopt = ' +
                'true in the inventory to use it, or uninstall it') @{ is = $is; path = $Path })
    }
}

function Compare-OpenSslPackage([string]$Path, [string]$Package) {
    if (-not @(Get-RecordedMsi).Count) {
        Assert-ForeignOpenSsl $Path
        return
    }
    $is = Get-FileVersion $Path
    if ($is -ne (Get-WantedOpenSslVersion)) {
        Add-Difference openssl 'OpenSSL' $is $Settings.openssl.version
    }
    elseif (-not (Test-Record 'msi' $Package)) {
        Add-Difference openssl-package 'OpenSSL package' 'a different package' (Split-Path -Leaf $Package)
    }
}

# Whether a package replaces another version is its publisher's choice, so the installed one is removed first. The
# server that runs does not need it. If the new package cannot be installed, the previous one is installed again.
function Install-OpenSslPackage([string]$Package) {
    $previous = @()
    foreach ($line in @(Get-RecordedMsi)) {
        if ($line.key -eq $Package -and (Test-CutOff $Package)) { continue }
        Undo-Line $line
        if ($line.key -ne $Package -and (Test-Path -LiteralPath $line.key)) { $previous += $line.key }
    }
    try { Install-Msi $Package }
    catch {
        $failure = $_
        foreach ($file in $previous) {
            try { Install-Msi $file } catch { Write-Event log @{ text = "$_" } }
        }
        throw $failure
    }
}

# Return the folder whose files are compared: that of nbserver, or that of openssl.exe and its DLLs.
function Get-OpenSslContent {
    if ($Settings.openssl.kind -eq 'msi') { Split-Path -Parent (Get-OpenSsl) } else { Get-OpenSslFolder }
}

# An OpenSSL that nbserver did not install is not compared.
function Compare-OpenSslFile {
    if ($Settings.openssl.kind -eq 'msi' -and -not @(Get-RecordedMsi).Count) { return }
    if ($Run.Differences.Count) { return }
    Compare-InstalledFile "openssl-$($Settings.openssl.version)" (Get-OpenSslContent) $Settings.openssl.sha256
}

function Remove-DamagedOpenSsl {
    $folder = Get-OpenSslFolder
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'inno' -and $_.key -eq $folder })) { Undo-Line $line }
    Remove-Folder $folder
}

# What an installer has put there is uninstalled.
function Expand-OpenSsl([string]$Folder) {
    Expand-Download $Settings.openssl $Folder
    if (Test-Record 'inno' $Folder) { Remove-DamagedOpenSsl }
    $replaces = Test-Path -LiteralPath $Folder
    if ($replaces) { Move-Aside $Folder }
    try { Complete-Download $Folder }
    catch {
        if ($replaces) { Restore-Aside $Folder }
        throw
    }
}

function Install-OpenSsl {
    Save-Program openssl
    $file = Get-CachedFile $Settings.openssl
    Write-StepProgress installing-openssl 'Installing OpenSSL {version}' @{ version = $Settings.openssl.version }
    switch ($Settings.openssl.kind) {
        'zip' { Expand-OpenSsl (Get-OpenSslFolder) }
        'exe' {
            if (Test-Difference $DamageCodes) { Remove-DamagedOpenSsl }
            Install-Inno $file (Get-OpenSslFolder)
        }
        'msi' { Install-OpenSslPackage $file }
    }
}

Add-Step openssl 'OpenSSL is installed' -Test {
    $openssl = Get-OpenSsl
    $file = Get-CachedFile $Settings.openssl
    if (-not (Test-Path -LiteralPath $openssl)) { Add-Difference openssl 'OpenSSL' $null $openssl }
    elseif (Test-CutOff $file) { Add-Difference openssl 'OpenSSL' 'partly installed' $openssl }
    else {
        if ($Settings.openssl.kind -eq 'msi') { Compare-OpenSslPackage $openssl $file }
        Assert-OpenSslClosed $openssl
        Compare-OpenSslFile
    }
} -Apply {
    Add-Folder $Programs
    if (-not (Test-OnlyUnlisted)) { Install-OpenSsl }
    Write-FileList "openssl-$($Settings.openssl.version)" (Get-OpenSslContent) $Settings.openssl.sha256
}
