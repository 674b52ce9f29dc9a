# ---- step: former --------------------------------------------------------------------------------------
# The Python, OpenSSL and environment that an earlier run of nbserver installed and the settings no longer
# want. They go last, when the new server has answered: an upgrade that fails leaves what was there.
# Only what stands in the record goes, by the same way as undo would take it.

function Get-WantedFolders {
    Get-EnvironmentFolder
    Get-PythonFolder
    Get-OpenSslFolder
    # The Python from which the environment was made: its programs still run from there.
    $configuration = Join-Path (Get-EnvironmentFolder) 'pyvenv.cfg'
    if (Test-Path -LiteralPath $configuration) {
        foreach ($line in [IO.File]::ReadAllLines($configuration, $Utf8)) { if ($line -match '^home = (.+)$') { $Matches[1].TrimEnd('\') } }
    }
}

# Newest first: an installer of Python is asked to remove what it brought before its folder goes.
function Get-FormerLines {
    $wanted = @(Get-WantedFolders)
    $lines = @(Read-Record | Where-Object {
            ('folder', 'inno' -contains $_.kind) -and $wanted -notcontains $_.key -and (Split-Path -Parent $_.key) -eq $Programs -and
            (Split-Path -Leaf $_.key) -match '^(env|python|openssl)-' -or
            $_.kind -eq 'bundle' -and $_.step -eq 'python' -and $_.key -ne (Get-CachedFile $Settings.python)
        })
    [Array]::Reverse($lines)
    $lines
}

Step former 'what an earlier release or setting installed is gone' -Test {
    foreach ($line in Get-FormerLines) { Difference $line.key 'installed' $null }
} -Apply {
    foreach ($line in @(Get-FormerLines)) {
        try { Undo-Line $line }
        catch { throw "$($line.key) could not be removed: $_. End the programs that use it, then run this again; the new server runs already" }
    }
}
