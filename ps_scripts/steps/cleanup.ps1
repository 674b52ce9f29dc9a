# ---- step: cleanup --------------------------------------------------------------------------------------
# The Python, OpenSSL and environment that an earlier run of nbserver installed and the settings no longer
# want. They go last, when the new server has answered: an upgrade that fails leaves what was there.
# Only what stands in the record goes, by the same way as undo would take it.

function Get-WantedFolders {
    Get-EnvironmentFolder
    Get-PythonFolder
    if ($Settings.openssl) { Get-OpenSslFolder }
}

# The msi that is wanted. Another one is gone since the step openssl, unless OpenSSL is no msi any more.
function Get-WantedMsi { if ($Settings.openssl -and $Settings.openssl.kind -eq 'msi') { Get-CachedFile $Settings.openssl } }

# Newest first: an installer of Python is asked to remove what it brought before its folder goes. In the
# record it stands behind that folder.
function Get-FormerLines {
    $wanted = @(Get-WantedFolders) + @(Get-WantedMsi)
    $lines = @()
    $installed = ''
    foreach ($line in Read-Record) {
        $ours = ('folder', 'inno' -contains $line.kind) -and (Split-Path -Parent $line.key) -eq $Programs -and (Split-Path -Leaf $line.key) -cmatch '^(env|python|openssl)-'
        if ($ours -and $line.step -eq 'python') { $installed = $line.key }
        if ($ours -and $wanted -notcontains $line.key) { $lines += $line }
        if ($line.kind -eq 'msi' -and $line.step -eq 'openssl' -and $wanted -notcontains $line.key) { $lines += $line }
        if ($line.kind -eq 'bundle' -and $line.step -eq 'python' -and $installed -and $wanted -notcontains $installed) { $lines += $line }
    }
    [Array]::Reverse($lines)
    $lines
}

Add-Step cleanup 'what an earlier release or setting installed is gone' -Test {
    foreach ($line in Get-FormerLines) { Difference $line.key 'installed' $null }
} -Apply {
    foreach ($line in @(Get-FormerLines)) {
        try { Undo-Line $line }
        catch { throw "$($line.key) could not be removed: $_. End the programs that use it, then run this again; the new server runs already" }
    }
}
