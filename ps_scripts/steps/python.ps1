# ---- step: python --------------------------------------------------------------------------------------
# Kind zip: the publisher's zip, unpacked into a folder of its own; no installer, nothing in the registry.
# Kind exe: the publisher's installer, for the whole machine. It moves or updates a Python of the same
# branch that is there already, so that one is used when it is the version wanted, and refused otherwise.
# Kind present: a Python of the user's own, which runs nbserver; it is used, and never installed or removed.

# The Python of this branch that an installer has registered for the machine, or nothing. Source: PEP 514.
function Get-RegisteredPython {
    $branch = "HKLM:\SOFTWARE\Python\PythonCore\$(@($Settings.python.version -split '\.')[0..1] -join '.')"
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

Step python 'Python is there' -Test {
    if ($Settings.python.kind -eq 'present') { Assert-PresentPython; return }
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered -and $registered.Version -ne $Settings.python.version) {
            throw "Python $($registered.Version) is installed in $($registered.Folder), and the installer of $($Settings.python.version) would move it. Choose python.version = `"$($registered.Version)`", or python.kind = `"zip`", in the inventory"
        }
    }
    if (-not (Test-Path -LiteralPath (Get-Python))) { Difference 'Python' $null (Get-Python) }
    elseif (Test-CutOff (Get-CachedFile $Settings.python)) { Difference 'Python' 'an installation that was cut off' (Get-Python) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.python
    $folder = Get-PythonFolder
    if ($Settings.python.kind -eq 'zip') { Expand-Download $Settings.python $folder; return }

    Save-Before 'folder' $folder $null
    Install-Bundle (Get-CachedFile $Settings.python) @('/quiet', '/norestart', '/log', (Get-InstallerLog 'python'), 'InstallAllUsers=1', "TargetDir=$folder",
        'PrependPath=0', 'AssociateFiles=0', 'Shortcuts=0', 'Include_launcher=0', 'Include_doc=0', 'Include_test=0')
}
