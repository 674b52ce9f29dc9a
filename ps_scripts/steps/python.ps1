# ---- step: python --------------------------------------------------------------------------------------
# Kind zip: the publisher's zip, unpacked into a folder of its own; no installer, nothing in the registry.
# Kind exe: the publisher's installer, for the whole machine. It moves or updates a Python of the same
# branch that is there already, so that one is used when it is the version wanted and only administrators
# write there (it runs as administrator, and the environment needs it), and refused otherwise.
# Kind present: a Python of the user's own, which runs nbserver; it is used, and never installed or removed.

# The Python of this branch that an installer has registered for the machine, or nothing. Source: PEP 514,
# and for arm64 PyArchExt in CPython's PCbuild/python.props.
function Get-RegisteredPython {
    $tag = @($Settings.python.version -split '\.')[0..1] -join '.'
    if ($Settings.architecture -eq 'arm64') { $tag += '-arm64' }
    $branch = "HKLM:\SOFTWARE\Python\PythonCore\$tag"
    $folder = Get-RegistryValue "$branch\InstallPath" ''
    $version = Get-RegistryValue $branch 'Version'
    if ($folder -and $version) { @{ Folder = ([string]$folder.value).TrimEnd('\'); Version = [string]$version.value } }
}

function Get-PythonFolder {
    if ($Settings.python.kind -eq 'present') { return $Settings.python.folder }
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered -and $registered.Version -eq $Settings.python.version) { return $registered.Folder }
    }
    Join-Path $Programs "python-$($Settings.python.version)"
}

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

# Who else than SYSTEM, administrators and TrustedInstaller could change a program in this folder, in words. CREATOR
# OWNER is who makes a thing, and only those may. Looked at are the folder, what stands in it, where packages are, and
# the folders above it. Rights: AppendData, WriteData, DeleteSubdirectoriesAndFiles, Delete, ChangePermissions,
# TakeOwnership, GENERIC_WRITE, GENERIC_ALL.
function Get-ProgramFault([string]$Folder) {
    $allowed = $Trusted + $TrustedInstaller + 'S-1-3-0'
    $inside = @($Folder) + @(Get-ChildItem -LiteralPath $Folder -Force | ForEach-Object { $_.FullName })
    $packages = Join-Path $Folder 'Lib\site-packages'
    if (Test-Path -LiteralPath $packages) { $inside += $packages }
    foreach ($path in $inside) {
        $fault = Get-AccessFault $path $allowed 0x500D0046
        if ($fault) { return $fault }
    }
    Get-PathFault $Folder $allowed
}

# One that is registered and cannot be used. Its installer would change it, and undo remove it; so neither is
# done to one that this script did not install.
function Assert-RegisteredPython($Registered) {
    $folder = $Registered.Folder
    $other = 'or choose python.kind = "zip" in the inventory, which installs one of its own'
    if ($Registered.Version -ne $Settings.python.version) {
        throw "Python $($Registered.Version) is installed in $folder, and the installer of $($Settings.python.version) would move it. Choose python.version = `"$($Registered.Version)`", $other"
    }
    if (Test-Below $folder $Programs) { return }
    if (-not (Test-Path -LiteralPath (Join-Path $folder $Settings.python.executable[0]))) {
        throw "Python $($Registered.Version) is registered in $folder, and its $($Settings.python.executable[0]) is not there. Repair or remove it in Apps in Settings, $other"
    }
    $fault = Get-ProgramFault $folder
    if ($fault) { throw "Python $($Registered.Version) in $folder would run as administrator, and others could change it: $($fault.Message). Let only SYSTEM and administrators write there, $other" }
}

# A Python from the Store keeps what it writes in a place that other programs do not see.
function Assert-PresentPython {
    $python = Get-Python
    $other = 'Install one from python.org, make nbserver''s virtual environment with it, and run this again'
    if (Test-Below $python "$env:ProgramFiles\WindowsApps") { throw "$python is from the Microsoft Store, where programs do not see each other's files. $other" }
    if (-not (Test-Path -LiteralPath $python)) { throw "$python is not there any more. $other" }
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($python)
    $is = "$($file.FileMajorPart).$($file.FileMinorPart)"
    if ($is -ne $Settings.python.version) { throw "$python is version $is, and $($Settings.python.version) is expected. $other" }
    if (-not (Test-Path -LiteralPath (Join-Path (Get-PythonFolder) 'Lib\site-packages\pip'))) { throw "$python has no pip. Run: `"$python`" -m ensurepip; or install a whole Python from python.org" }
}

Add-Step python 'Python is there' -Test {
    if ($Settings.python.kind -eq 'present') { Assert-PresentPython; return }
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered) { Assert-RegisteredPython $registered }
    }
    if (-not (Test-Path -LiteralPath (Get-Python))) { Difference 'Python' $null (Get-Python) }
    elseif (Test-CutOff (Get-CachedFile $Settings.python)) { Difference 'Python' 'an installation that was cut off' (Get-Python) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.python
    $folder = Get-PythonFolder
    if ($Settings.python.kind -eq 'zip') { Expand-Download $Settings.python $folder; return }

    if (-not (Test-Path -LiteralPath $folder)) { Save-Before 'folder' $folder $null }   # undo removes it with all that is in it
    Install-Bundle (Get-CachedFile $Settings.python) @('/quiet', '/norestart', '/log', (Get-InstallerLog 'python'), 'InstallAllUsers=1', "TargetDir=$folder",
        'PrependPath=0', 'AssociateFiles=0', 'Shortcuts=0', 'Include_launcher=0', 'Include_doc=0', 'Include_test=0')
}
