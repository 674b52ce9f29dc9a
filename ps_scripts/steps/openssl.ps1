# ---- step: openssl -------------------------------------------------------------------------------------
# Kind zip: unpacked into a folder of its own. Kind msi: the publisher's package, for the whole machine;
# it chooses its folder, so the catalog names where openssl.exe may be.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# The first of the catalog's places that exists; else the first.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'zip') { Join-Path (Get-OpenSslFolder) $_ } else { Expand-Path $_ }
        })
    foreach ($place in $places) { if (Test-Path -LiteralPath $place) { return $place } }
    $places[0]
}

$Restore.msi = {
    param($File)
    if (-not (Test-Path -LiteralPath $File)) { throw "$File is gone, so Windows Installer cannot remove what it brought: use Apps in Settings" }
    Invoke-Program (Join-Path $env:SystemRoot 'System32\msiexec.exe') @('/x', $File, '/qn', '/norestart') -Accept 0, 3010, 1605
    if ($Run.ExitCode -eq 3010) { $Run.Reboot = $true }
}

Step openssl 'OpenSSL is there' -Test {
    if (-not (Test-Path -LiteralPath (Get-OpenSsl))) { Difference 'OpenSSL' $null (Get-OpenSsl) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.openssl
    if ($Settings.openssl.kind -eq 'zip') { Expand-Download $Settings.openssl (Get-OpenSslFolder); return }

    $file = Get-CachedFile $Settings.openssl
    Save-Before 'msi' $file $null
    Invoke-Program (Join-Path $env:SystemRoot 'System32\msiexec.exe') @('/i', $file, '/qn', '/norestart', '/l*v', (Join-Path $StateFolder "runs\$($Run.Id)\openssl-msi.log")) -Accept 0, 3010 `
        -Todo '1603: see openssl-msi.log beside this run''s events on the host. 1618: another installer runs, wait for it. 1625: a policy of this host forbids it'
    if ($Run.ExitCode -eq 3010) { $Run.Reboot = $true }
}
