# ---- prelude: delivered_programs -------------------------------------------------------------------
# Use program files that the workstation has sent.

# A file moves to the cache, where a download would be, when its program is installed. Any source is accepted.
function Get-DeliveredProgram {
    foreach ($download in @($Sources['python']) + @($Sources['openssl']) + @($Sources['vc_redist'])) {
        if (-not $download) { continue }
        @{ Name = Get-DownloadName $download; Sha256 = $download.sha256; Cached = Get-CachedFile $download }
    }
}

# Return whether the file of this source has arrived, or is in the cache.
function Test-DeliveredProgram($Download) {
    foreach ($file in (Get-DeliveredFile (Get-DownloadName $Download)), (Get-CachedFile $Download)) {
        if ([IO.File]::Exists($file) -and (Get-FileSha256 $file) -eq $Download.sha256) { return $true }
    }
    $false
}

function Move-DeliveredProgram($Download, [string]$Part) {
    $file = Get-DeliveredFile (Get-DownloadName $Download)
    Assert-NoLink $file
    if (-not [IO.File]::Exists($file)) {
        throw (New-Failure delivery-missing ('{path} is missing. Run nbserver apply, which sends this file from the ' +
                'workstation, or copy the file to this path, then try again') @{
                path = $file
            })
    }
    Move-Over $file $Part
}
