# ---- step: python ----------------------------------------------------------------------------------
# Install Python from the publisher, or use one that is installed.

# The settings say how: "zip" is the publisher's zip, unpacked into a separate folder without an installer; "exe" is the
# publisher's installer, for the whole machine.
# The installer would move or update a Python of the same branch. So that one is used if it has the wanted version and
# only administrators can change it, because it runs with their rights; otherwise the host is refused.

# Return the branch of Python as its installer registers it, such as 3.13. Source for arm64: PyArchExt in CPython's
# PCbuild/python.props.
function Get-PythonTag {
    $tag = @($Settings.python.version -split '\.')[0..1] -join '.'
    if ($Settings.architecture -eq 'arm64') { "$tag-arm64" } else { $tag }
}

# Return the Python of this branch that is registered for the machine, or for this account alone (HKCU:), or nothing.
# Source: PEP 514.
function Get-RegisteredPython([string]$For = 'HKLM:') {
    $branch = "$For\SOFTWARE\Python\PythonCore\$(Get-PythonTag)"
    $folder = Get-RegistryValue "$branch\InstallPath" ''
    $version = Get-RegistryValue $branch 'Version'
    if ($folder -and $version) { @{ Folder = ([string]$folder.value).TrimEnd('\'); Version = [string]$version.value } }
}

function Get-PythonFolder {
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered -and $registered.Version -eq $Settings.python.version) { return $registered.Folder }
    }
    Join-Path $Programs "python-$($Settings.python.version)"
}

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

# Return the mark of a complete environment (step packages).
function Get-LockMarkText { "$($Settings.packages.lock_sha256)`n" }

# ---- refusals

# The installer would change a registered Python, and undo would remove it. Neither is done to one that this script did
# not install.
function Assert-RegisteredPython($Registered) {
    $values = @{ is = $Registered.Version; folder = $Registered.Folder }
    if ($Registered.Version -ne $Settings.python.version) {
        $values.version = $Settings.python.version
        Assert-ForeignPython $values
        throw (New-Failure python-would-be-moved ('Python {is} is installed in {folder}, and the Python {version} ' +
                'installer would move it. Set python.version = "{is}" in the inventory, or set python.kind = "zip" ' +
                'to install a separate Python') $values)
    }
    if (Test-Below $Registered.Folder $Programs) { return }
    Assert-RegisteredProgram $values
    $fault = Get-ProgramFault $Registered.Folder
    if ($fault) {
        throw (New-Failure python-unsafe ('Python {is} in {folder} would run with administrator rights, but other ' +
                'accounts can change it: {cause}. Allow only SYSTEM and administrators to write to this folder, or ' +
                'set python.kind = "zip" in the inventory to install a separate Python') $values -Cause $fault)
    }
}

# The server runs from it, and so does the environment that a rollback needs.
function Assert-ForeignPython([hashtable]$Values) {
    if (-not (Test-Below $Values.folder $Programs)) { return }
    throw (New-Failure own-python-would-be-moved ('nbserver installed Python {is} in {folder} with the publisher''s ' +
            'installer, and the Python {version} installer would move it while the server uses it. Run nbserver ' +
            'catalog update, which writes the zip of the newest patch into a site catalog: a zip is unpacked next ' +
            'to it') $Values)
}

function Assert-RegisteredProgram([hashtable]$Values) {
    $program = $Settings.python.executable[0]
    if (Test-Path -LiteralPath (Join-Path $Values.folder $program)) { return }
    throw (New-Failure python-incomplete ('Python {is} is registered as installed in {folder}, but {program} is ' +
            'missing from this folder. Repair or uninstall it in Settings > Apps, or set python.kind = "zip" in the ' +
            'inventory to install a separate Python') @{ is = $Values.is; folder = $Values.folder; program = $program })
}

# The installer takes a Python that this account has installed for itself as one to upgrade, and undo could not restore
# it. After an installation for the machine, the installer is registered in the same place, but its Python is not.
function Assert-NoOwnPython {
    $own = Get-RegisteredPython 'HKCU:'
    if (-not $own -or -not (Test-OwnBundle "CPython-$(Get-PythonTag)")) { return }
    throw (New-Failure python-of-account ('Python {is} is installed in {folder} for this account only, and the ' +
            'Python {version} installer would replace it. Connect with another account, or set python.kind = "zip" ' +
            'in the inventory to install a separate Python') @{
            is = $own.Version; folder = $own.Folder; version = $Settings.python.version
        })
}

function Install-PythonBundle([string]$Folder) {
    # Undo removes the folder with all that is in it.
    if (-not (Test-Path -LiteralPath $Folder)) { Save-Before 'folder' $Folder $null -Replace }
    $arguments = '/quiet', '/norestart', '/log', (Get-InstallerLog 'python'), 'InstallAllUsers=1', "TargetDir=$Folder",
    'PrependPath=0', 'AssociateFiles=0', 'Shortcuts=0', 'Include_launcher=0', 'Include_doc=0', 'Include_test=0'
    Install-Bundle (Get-CachedFile $Settings.python) $arguments
}

# A registered Python that this script did not install is not compared: its owner updates it.
function Test-OwnPython { Test-Below (Get-PythonFolder) $Programs }

# Return the lines of the record about installers of Python, each with the folder of its Python: that of the last line
# about a folder before it. An earlier release could move the line of the present installer.
function Get-PythonBundle {
    $present = Get-CachedFile $Settings.python
    $folder = ''
    foreach ($line in Read-Record) {
        if ($line.step -ne 'python') { continue }
        if (Test-InstalledFolder $line) { $folder = $line.key }
        if ($line.kind -ne 'bundle') { continue }
        @{ Line = $line; Folder = $(if ($line.key -eq $present) { Get-PythonFolder } else { $folder }) }
    }
}

# A Python of another version stays, and so does the server, unless its environment needs this Python or does not say
# which one it needs.
function Stop-PythonUser([string]$Folder) {
    $base = Get-BaseFolder (Get-ServerEnvironment)
    if ($base -and $base -ne $Folder) { Stop-ProcessBelow $Folder } else { Stop-ServerEarly }
}

# As Move-Aside, for a folder that is uninstalled in its place. A copy that is not complete has another name.
function Copy-Aside([string]$Folder) {
    Save-Before 'folder' "$Folder.replaced" $null
    foreach ($path in "$Folder.copy", "$Folder.replaced") { if (Test-Path -LiteralPath $path) { Remove-Folder $path } }
    foreach ($file in @(Get-InstalledFile $Folder)) {
        $copy = "$Folder.copy" + $file.FullName.Substring($Folder.Length)
        $parent = Split-Path -Parent $copy
        if (-not (Test-Path -LiteralPath $parent)) { [void](New-Item -ItemType Directory -Force -Path $parent) }
        [IO.File]::Copy($file.FullName, $copy)
    }
    Invoke-FileChange 'move-folder' "$Folder.copy" "$Folder.replaced"
}

function Install-Python {
    Save-Program python
    $folder = Get-PythonFolder
    Write-StepProgress installing-python 'Installing Python {version}' @{ version = $Settings.python.version }
    $isZip = $Settings.python.kind -eq 'zip'
    if ($isZip) { Expand-Download $Settings.python $folder }
    $replaces = (Test-Path -LiteralPath $folder) -and ($isZip -or (Test-Difference $DamageCodes))
    $bundles = @(Get-PythonBundle | Where-Object { $_.Folder -eq $folder })
    if ($replaces) {
        Stop-PythonUser $folder
        if ($bundles.Count) { Copy-Aside $folder } else { Move-Aside $folder }
    }
    try {
        if ($replaces -and $bundles.Count) { Uninstall-Python $folder $bundles }
        if ($isZip) { Complete-Download $folder } else { Install-PythonBundle $folder }
    }
    catch {
        if ($replaces) { Restore-Aside $folder }
        throw
    }
}

# The installer would not replace files of the same version. It uninstalls a Python only if python.exe is in its place.
function Uninstall-Python([string]$Folder, $Bundles) {
    foreach ($bundle in $Bundles) { Undo-Line $bundle.Line }
    Remove-Folder $Folder
}

Add-Step python 'Python is installed' -Test {
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered) { Assert-RegisteredPython $registered } else { Assert-NoOwnPython }
    }
    if (-not (Test-Path -LiteralPath (Get-Python))) { Add-Difference python 'Python' $null (Get-Python) }
    elseif (Test-CutOff (Get-CachedFile $Settings.python)) {
        Add-Difference python 'Python' 'partly installed' (Get-Python)
    }
    elseif (Test-OwnPython) {
        Compare-InstalledFile "python-$($Settings.python.version)" (Get-PythonFolder) $Settings.python.sha256
    }
} -Apply {
    Add-Folder $Programs
    if (-not (Test-OnlyUnlisted)) { Install-Python }
    Write-FileList "python-$($Settings.python.version)" (Get-PythonFolder) $Settings.python.sha256
}
