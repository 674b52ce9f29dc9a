# ---- prelude: hashes -------------------------------------------------------------------------------
# Compute SHA-256 hashes; this script uses no others.

# Return the SHA-256 of bytes, or of a stream from its position to its end, in lower-case hex. A host in FIPS mode
# refuses the managed class of .NET; this class calls Windows.
function Get-Sha256($Source) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try { Format-Hash $sha256.ComputeHash($Source) } finally { $sha256.Dispose() }
}

function Format-Hash([byte[]]$Hash) {
    $hex = [BitConverter]::ToString($Hash) -replace '-', ''
    $hex.ToLowerInvariant()
}

# Return the SHA-256 of the next bytes of a stream, at most $Most of them. Other accounts can make some files longer
# while this script reads them.
function Get-StartSha256([IO.Stream]$Stream, [long]$Most) {
    $buffer = New-Object byte[] 1048576
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try {
        while ($Most) {
            $size = $Stream.Read($buffer, 0, [Math]::Min($buffer.Length, $Most))
            if (-not $size) { break }
            [void]$sha256.TransformBlock($buffer, 0, $size, $null, 0)
            $Most -= $size
        }
        [void]$sha256.TransformFinalBlock($buffer, 0, 0)
        Format-Hash $sha256.Hash
    }
    finally { $sha256.Dispose() }
}

function Get-FileSha256([string]$Path) {
    $stream = [IO.File]::OpenRead($Path)
    try { Get-Sha256 $stream } finally { $stream.Close() }
}
