# ---- prelude: unused_programs ----------------------------------------------------------------------
# Find what earlier runs installed and the current settings no longer use.

# An environment needs the Python from which it was created, even if another one is used now.
function Get-UsedFolder {
    Get-EnvironmentFolder
    Get-BaseFolder (Get-EnvironmentFolder)
    Get-PythonFolder
    Get-OpenSslFolder
    Get-KeptFolder
}

# The step openssl has already removed the package of another version, unless the settings do not want a package.
function Get-UsedMsi {
    if ($Settings.openssl.kind -eq 'msi') { Get-CachedFile $Settings.openssl }
}

# Return the lines of the record that are not used any more, newest first. The installer of a Python is in the record
# after the folder of that Python, so it is removed first.
function Get-UnusedLine {
    $used = @(Get-UsedFolder) + @(Get-UsedMsi)
    $bundles = @(Get-PythonBundle | Where-Object { $_.Folder -and $used -notcontains $_.Folder })
    $unused = @($bundles | ForEach-Object { $_.Line.key })
    $lines = @(Read-Record | Where-Object {
            $isMsi = $_.kind -eq 'msi' -and $_.step -eq 'openssl'
            $isBundle = $_.kind -eq 'bundle' -and $_.step -eq 'python'
            if ($isBundle) { $unused -contains $_.key }
            else { ($isMsi -or (Test-InstalledFolder $_)) -and $used -notcontains $_.key }
        })
    [Array]::Reverse($lines)
    $lines
}

# True for a line about a folder of an environment, Python, or OpenSSL, right below the folder of nbserver.
function Test-InstalledFolder($Line) {
    if ('folder', 'inno' -notcontains $Line.kind -or (Split-Path -Parent $Line.key) -ne $Programs) { return $false }
    if ($Line.key -cmatch $AsideName -and (Test-Aside $Matches[1])) { return $false }   # the next apply needs it
    (Split-Path -Leaf $Line.key) -cmatch '^(env|python|openssl)-'
}

# True for a line about the rules or the PATH entries of a step that skip leaves out by now.
function Test-LeftOutLine($Line) {
    if ('path_entry', 'path_removal' -contains $Line.kind) { return $Settings.skip -contains 'path' }
    if ('firewall_rule', 'firewall_rule_state' -notcontains $Line.kind) { return $false }
    ($Settings.skip -contains 'firewall') -and (Test-FirewallRunning)
}
