# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove the Python, OpenSSL, and packages of earlier runs that are not used any more.

# They are removed last, when the new server has answered: an upgrade that fails keeps them. Only what is in the record
# is removed, in the same way as undo removes it.

function Get-UsedFolder {
    Get-EnvironmentFolder
    Get-PythonFolder
    if ($Settings.openssl) { Get-OpenSslFolder }
}

# The step openssl has already removed the package of another version, unless the settings do not want a package.
function Get-UsedMsi {
    if ($Settings.openssl -and $Settings.openssl.kind -eq 'msi') { Get-CachedFile $Settings.openssl }
}

# Return the lines of the record that are not used any more, newest first. The installer of a Python is in the record
# after the folder of that Python, so it is removed first.
function Get-UnusedLine {
    $used = @(Get-UsedFolder) + @(Get-UsedMsi)
    $lines = @()
    $pythonFolder = ''
    foreach ($line in Read-Record) {
        $isFolder = Test-InstalledFolder $line
        if ($isFolder -and $line.step -eq 'python') { $pythonFolder = $line.key }
        $isMsi = $line.kind -eq 'msi' -and $line.step -eq 'openssl'
        if (($isFolder -or $isMsi) -and $used -notcontains $line.key) { $lines += $line }
        $isPython = $line.kind -eq 'bundle' -and $line.step -eq 'python'
        if ($isPython -and $pythonFolder -and $used -notcontains $pythonFolder) { $lines += $line }
    }
    [Array]::Reverse($lines)
    $lines
}

# True for a line about a folder of an environment, Python, or OpenSSL, right below the folder of nbserver.
function Test-InstalledFolder($Line) {
    if ('folder', 'inno' -notcontains $Line.kind -or (Split-Path -Parent $Line.key) -ne $Programs) { return $false }
    (Split-Path -Leaf $Line.key) -cmatch '^(env|python|openssl)-'
}

Add-Step cleanup 'What earlier runs installed and nothing uses is removed' -Test {
    foreach ($line in Get-UnusedLine) { Add-Difference installed-path '{path}' 'installed' $null @{ path = $line.key } }
} -Apply {
    foreach ($line in @(Get-UnusedLine)) {
        Write-StepProgress removing 'Removing {path}' @{ path = $line.key }
        try { Undo-Line $line }
        catch {
            throw (New-Failure unused-not-removed ('{path} could not be removed: {cause}. Stop the programs that use ' +
                    'it, then run this again. The new server is already running') @{
                    path = $line.key
                } -Cause $_.Exception)
        }
    }
}
