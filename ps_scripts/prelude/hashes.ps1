# ---- prelude: the one hash of this script --------------------------------------------------------------

# The SHA-256 of bytes, or of a stream to its end, in hex. FIPS mode forbids the managed class; this one
# calls Windows.
function Get-Sha256($Source) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try { ([BitConverter]::ToString($sha256.ComputeHash($Source)) -replace '-', '').ToLowerInvariant() }
    finally { $sha256.Dispose() }
}
