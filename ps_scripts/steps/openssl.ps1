# ---- step: openssl -------------------------------------------------------------------------------------
# Kind zip: unpacked into a folder of its own. Kind exe: the publisher's Inno Setup, into such a folder.
# Kind msi: the publisher's package; it chooses its folder, so the catalog names where openssl.exe may be.
# Without one in the settings (scope "user") nothing is installed: see prelude/certificate_program.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# The first of the catalog's places that exists; else the first.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'msi') { Expand-Path $_ } else { Join-Path (Get-OpenSslFolder) $_ }
        })
    foreach ($place in $places) { if (Test-Path -LiteralPath $place) { return $place } }
    $places[0]
}

Step openssl 'OpenSSL is there' -Test {
    if (-not $Settings.openssl) { return }
    if (-not (Test-Path -LiteralPath (Get-OpenSsl))) { Difference 'OpenSSL' $null (Get-OpenSsl) }
    elseif (Test-CutOff (Get-CachedFile $Settings.openssl)) { Difference 'OpenSSL' 'an installation that was cut off' (Get-OpenSsl) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.openssl
    $file = Get-CachedFile $Settings.openssl
    switch ($Settings.openssl.kind) {
        'zip' { Expand-Download $Settings.openssl (Get-OpenSslFolder) }
        'exe' { Install-Inno $file (Get-OpenSslFolder) }
        'msi' { Install-Msi $file }
    }
}
