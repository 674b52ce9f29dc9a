# ---- prelude: delivered_programs -------------------------------------------------------------------
# Take the files of programs that the workstation has sent.

# A file moves to the cache, where a download would be, when its program is installed.
function Get-DeliveredProgram {
    foreach ($name in 'python', 'openssl', 'vc_redist') {
        $download = Get-Setting $name
        if (-not $download) { continue }
        @{ Name = Get-DownloadName $download; Sha256 = $download.sha256; Cached = Get-CachedFile $download }
    }
}

function Move-DeliveredProgram($Download, [string]$Part) {
    $file = Get-DeliveredFile (Get-DownloadName $Download)
    Assert-NoLink $file
    if (-not [IO.File]::Exists($file)) {
        throw (New-Failure delivery-missing ('{path} is missing. Run nbserver apply, which sends this file from the ' +
                'workstation before it runs this script, or copy the file to this folder, then try again') @{
                path = $file
            })
    }
    Move-Over $file $Part
}
