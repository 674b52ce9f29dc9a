# ---- step: openssl -------------------------------------------------------------------------------------
# Kind zip: unpacked into a folder of its own. Kind exe: the publisher's Inno Setup, into such a folder.
# Kind msi: the publisher's package; it chooses its folder, so the catalog names where openssl.exe may be. One
# of another version makes room for it, and one that this script did not install is never replaced.
# Without one in the settings (scope "user") nothing is installed: see prelude/certificate_program.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# The version that a program's file has, in three numbers; 0.0.0 where it has none.
function Get-FileVersion([string]$Path) {
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($Path)
    "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"
}

function Get-WantedOpenSslVersion { $Settings.openssl.version -replace '^(\d+\.\d+\.\d+).*$', '$1' }

# Of the catalog's places the first that has the version wanted, else the first that exists, else the first.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'msi') { Expand-Path $_ } else { Join-Path (Get-OpenSslFolder) $_ }
        })
    $there = @($places | Where-Object { Test-Path -LiteralPath $_ })
    foreach ($place in $there) { if ((Get-FileVersion $place) -eq (Get-WantedOpenSslVersion)) { return $place } }
    @($there + $places)[0]
}

# The record's lines of what this script installed as msi.
function Get-RecordedMsis { Read-Record | Where-Object { $_.kind -eq 'msi' -and $_.step -eq 'openssl' } }

# Makes the key only where adopt = true says that it may. Its msi could not be brought back by undo.
function Assert-ForeignOpenSsl([string]$Path) {
    $is = Get-FileVersion $Path
    $who = "OpenSSL $is in $Path was not installed by nbserver"
    if ($is -ne (Get-WantedOpenSslVersion)) {
        throw "$who, and the msi of $($Settings.openssl.version) would replace it for good. Remove it, choose openssl.version = `"$is`" with adopt = true, or openssl.kind = `"zip`" from a site catalog, in the inventory"
    }
    if (-not $Settings.adopt) { throw "$who. Set adopt = true in the inventory to use it as it is, or remove it" }
}

Add-Step openssl 'OpenSSL is there' -Test {
    if (-not $Settings.openssl) { return }
    $openssl = Get-OpenSsl
    if (-not (Test-Path -LiteralPath $openssl)) { Difference 'OpenSSL' $null $openssl; return }
    $file = Get-CachedFile $Settings.openssl
    if (Test-CutOff $file) { Difference 'OpenSSL' 'an installation that was cut off' $openssl; return }
    if ($Settings.openssl.kind -ne 'msi') { return }
    if (-not @(Get-RecordedMsis).Count) { Assert-ForeignOpenSsl $openssl; return }
    $is = Get-FileVersion $openssl
    if ($is -ne (Get-WantedOpenSslVersion)) { Difference 'OpenSSL' $is $Settings.openssl.version }
    elseif (-not (Test-Record 'msi' $file)) { Difference 'OpenSSL' "$is of another package" (Split-Path -Leaf $file) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.openssl
    $file = Get-CachedFile $Settings.openssl
    switch ($Settings.openssl.kind) {
        'zip' { Expand-Download $Settings.openssl (Get-OpenSslFolder) }
        'exe' { Install-Inno $file (Get-OpenSslFolder) }
        'msi' {
            # Whether a newer msi replaces an older one, and an older a newer, is its publisher's choice. So the
            # one that is here goes first; the server that runs does not need it.
            foreach ($line in @(Get-RecordedMsis)) { if ($line.key -ne $file -or -not (Test-CutOff $file)) { Undo-Line $line } }
            Install-Msi $file
        }
    }
}
