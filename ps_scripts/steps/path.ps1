# ---- step: path ----------------------------------------------------------------------------------------
# Programs that run already keep the PATH they started with; new sessions see this one.

Step path 'the machine PATH has the environment, Python and OpenSSL' -Test {
    foreach ($entry in $Settings.path.entries) {
        if (-not (Test-PathEntry (Expand-Path $entry))) { Difference 'PATH' $null (Expand-Path $entry) }
    }
} -Apply {
    foreach ($entry in $Settings.path.entries) {
        if (-not (Test-PathEntry (Expand-Path $entry))) { Add-PathEntry (Expand-Path $entry) }
    }
}
