# ---- prelude: hashes -------------------------------------------------------------------------------
# Compute SHA-256, the only hash that this script uses.

# Return the SHA-256 of bytes, or of a stream from its position to its end, in lower-case hex. A host in FIPS mode
# refuses the managed class of .NET; this class calls Windows.
function Get-Sha256($Source) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try {
        $hex = [BitConverter]::ToString($sha256.ComputeHash($Source)) -replace '-', ''
        $hex.ToLowerInvariant()
    }
    finally { $sha256.Dispose() }
}

function Get-FileSha256([string]$Path) {
    $stream = [IO.File]::OpenRead($Path)
    try { Get-Sha256 $stream } finally { $stream.Close() }
}
