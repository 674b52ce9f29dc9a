# ---- step: packages --------------------------------------------------------------------------------
# Install the packages of the lock in a virtual environment.

# The lock has NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel, notebook, and what they need. Exactly these are
# installed: wheels only, each with its hash. uv installs them on Windows 10, Windows Server 2016, and newer; pip on
# older releases. uv is in the lock as well. The folder is named after the version of Python and the hash of the lock,
# so a different environment is created next to the one in use.

function Get-EnvironmentFolder {
    Join-Path $Programs "env-$($Settings.python.version)-$($Settings.packages.lock_sha256.Substring(0, 8))"
}

function Get-EnvironmentProgram([string]$Name) { Join-Path (Get-EnvironmentFolder) "Scripts\$Name" }

# ---- the mark of a complete environment

# The mark is written when everything is installed. It has the hash of the lock and, for a Python that nbserver did not
# install, the path of that Python, which the environment needs even if another one runs nbserver now.
function Get-LockMark { Join-Path (Get-EnvironmentFolder) 'nbserver.lock' }

function Test-LockMark {
    if (-not (Test-Path -LiteralPath (Get-LockMark))) { return $false }
    $python = @([IO.File]::ReadAllLines((Get-LockMark), $Utf8) | Select-Object -Skip 1)
    -not $python.Count -or (Test-Path -LiteralPath $python[0])
}

# ---- what is installed

# Return the packages in the environment. A package has a folder NAME-VERSION.dist-info.
function Get-InstalledPackage {
    $packages = Join-Path (Get-EnvironmentFolder) 'Lib\site-packages'
    if (-not [IO.Directory]::Exists($packages)) { return }
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        if ((Split-Path -Leaf $folder) -cnotmatch '\A(.+)-([^-]+)\.dist-info\z') { continue }
        @{ Name = Get-PackageKey $Matches[1]; Version = $Matches[2]; Folder = $Matches[0] }
    }
}

# Return a name or version in lower case, with one hyphen for each run of hyphens, underscores, and periods.
function Get-PackageKey([string]$Name) { ($Name -replace '[-_.]+', '-').ToLowerInvariant() }

# Add a difference for each package that is not as in the lock, also if a person has added it.
function Compare-Package {
    $installed = @{}
    foreach ($package in Get-InstalledPackage) { $installed[$package.Name] = $package }
    $found = New-Object Collections.ArrayList
    foreach ($line in $Lock) {
        $name, $version = ($line -split ' ')[0] -split '==', 2
        $is = $installed[(Get-PackageKey $name)]
        if ($is -and (Get-PackageKey $is.Version) -ceq (Get-PackageKey $version)) { continue }
        [void]$found.Add(@{ Name = $name; Is = $(if ($is) { $is.Version }); Should = $version })
    }
    foreach ($package in @(Get-AddedPackage $installed)) {
        [void]$found.Add(@{ Name = $package.Name; Is = $package.Version; Should = $null })
        $AddedReported[(Get-EnvironmentFolder)] = $true   # its files are not reported as well
    }
    foreach ($one in $found | Select-Object -First 10) { Add-PackageDifference $one }
    if ($found.Count -gt 10) {
        Add-Difference packages-changed 'other packages ({count})' 'different from the lock' 'as in the lock' @{
            count = $found.Count - 10
        }
    }
}

function Add-PackageDifference($One) {
    if (-not $One.Is) { Add-Difference package 'package {name}' $null $One.Should @{ name = $One.Name } }
    elseif ($One.Should) {
        Add-Difference package-changed 'package {name}' $One.Is $One.Should @{ name = $One.Name }
    }
    else { Add-Difference package-added 'package {name}, which is not in the lock' $One.Is $null @{ name = $One.Name } }
}

# Return the packages that are neither in the lock nor in the list of installed files: pip installs itself, too.
function Get-AddedPackage([hashtable]$Installed) {
    foreach ($line in $Lock) { $Installed.Remove((Get-PackageKey (($line -split '==')[0]))) }
    $list = Get-FileList (Split-Path -Leaf (Get-EnvironmentFolder))
    if (-not $Installed.Count -or (Test-NotebookInstall) -or -not [IO.File]::Exists($list)) { return }
    $text = [IO.File]::ReadAllText($list, $Utf8)
    foreach ($name in $Installed.Keys | Sort-Object) {
        if (-not $text.Contains("\$($Installed[$name].Folder)\")) { $Installed[$name] }
    }
}

# ---- installation

function Get-PackageInstaller {
    if ($Settings.packages.installer -ne 'auto') { $Settings.packages.installer }
    elseif ((Get-WindowsVersion ([Environment]::OSVersion.Version)).Major -ge 10) { 'uv' }
    else { 'pip' }
}

# Return arguments of pip and uv: only wheels, and only with the hashes in the file. Variables name the index.
function Get-LockArgument([string]$File) {
    '-r', $File, '--require-hashes', '--no-deps', '--only-binary', ':all:'
    if ($PackageSource.NoIndex) { '--no-index' }
}

# Return the path of a lock file with these lines.
function New-LockFile([string]$Name, [string[]]$Lines) {
    $file = Join-Path $CacheFolder $Name
    Write-TextFile $file (($Lines -join "`n") + "`n")
    $file
}

function New-Environment([string[]]$Options, [hashtable]$Variables) {
    Write-StepProgress creating-environment 'Creating the virtual environment'
    $arguments = @('-I', '-X', 'utf8', '-m', 'venv') + $Options + (Get-EnvironmentFolder)
    Invoke-Program (Get-Python) $arguments $Variables -Code environment-not-created -Text ('could not create the ' +
        'virtual environment ({program} exited with code {exit_code}): {output}. Fix this error (for example, free ' +
        'some disk space), then try again')
}

# Return the path of uv, which is installed from the lock.
function Install-Uv([hashtable]$Variables) {
    $tools = Join-Path $CacheFolder 'tools'
    $lockFile = New-LockFile 'uv-lock.txt' @($Lock | Where-Object { $_ -cmatch '^uv==' })
    Write-StepProgress installing-uv 'Installing uv'
    $arguments = @('-I', '-X', 'utf8', '-m', 'pip', 'install', '--target', $tools, '--upgrade', '--no-cache-dir') +
    @(Get-LockArgument $lockFile)
    Invoke-Program (Get-Python) $arguments $Variables -Code uv-not-installed -Text ('could not install uv ({program} ' +
        'exited with code {exit_code}): {output}. Check the free disk space and these settings: {settings}. ' +
        'Then try again') -Values @{ settings = Get-SourceSetting }
    Join-Path $tools 'bin\uv.exe'
}

function Install-WithUv {
    param([string]$Uv, [string]$LockFile, [hashtable]$Variables)
    New-Environment @('--without-pip') $Variables
    Write-StepProgress installing-packages 'Installing packages' -Done 0 -Total $Lock.Count -Unit packages
    $python = Get-EnvironmentProgram 'python.exe'
    $arguments = @('pip', 'install', '--python', $python, '--no-cache', '--link-mode', 'copy', '--compile-bytecode') +
    @(Get-LockArgument $LockFile)
    Invoke-PackageInstaller $Uv $arguments $Variables
}

function Install-WithPip([string]$LockFile, [hashtable]$Variables) {
    New-Environment @() $Variables
    Write-StepProgress installing-packages 'Installing packages' -Done 0 -Total $Lock.Count -Unit packages
    $arguments = @('-I', '-X', 'utf8', '-m', 'pip', 'install', '--no-cache-dir') + @(Get-LockArgument $LockFile)
    Invoke-PackageInstaller (Get-EnvironmentProgram 'python.exe') $arguments $Variables
}

function Invoke-PackageInstaller {
    param([string]$Program, [string[]]$Arguments, [hashtable]$Variables)
    Invoke-Program $Program $Arguments $Variables -Code packages-not-installed -Text ('could not install the ' +
        'packages ({program} exited with code {exit_code}): {output}. Check the free disk space and these settings: ' +
        '{settings}. If a package has no build for this Python version, set a different python.version. Then try ' +
        'again') -Values @{ settings = Get-SourceSetting }
}

function Compare-Environment {
    Compare-Package
    Compare-InstalledFile (Split-Path -Leaf (Get-EnvironmentFolder)) (Get-EnvironmentFolder) (
        $Settings.packages.lock_sha256) -Caches
    if ($Run.Thorough -and (Test-Difference files-not-listed)) { Compare-EnvironmentRecord }
}

function Compare-EnvironmentRecord { Compare-RecordedHash (Join-Path (Get-EnvironmentFolder) 'Lib\site-packages') }

function Write-EnvironmentList {
    Write-FileList (Split-Path -Leaf (Get-EnvironmentFolder)) (Get-EnvironmentFolder) (
        $Settings.packages.lock_sha256) -Caches
}

# An environment of an earlier release has no list of its files. It is kept if they are those that the packages name.
function Test-EnvironmentKept {
    if (-not (Test-OnlyUnlisted)) { return $false }
    if (-not $Run.Thorough) { Compare-EnvironmentRecord }
    Test-OnlyUnlisted
}

# A complete environment may be the only one that works, also if something in it has changed.
function Start-Environment {
    $folder = Get-EnvironmentFolder
    if (Test-Path -LiteralPath $folder) {
        if ((Get-ServerEnvironment) -eq $folder) { Stop-ServerEarly } else { Stop-ProcessBelow $folder }
        if (Test-LockMark) { Move-Aside $folder }
        else {
            Write-StepProgress removing 'Removing {path}' @{ path = $folder }
            Remove-Folder $folder
        }
    }
    Save-Before 'folder' $folder $null
}

Add-Step packages 'The packages in the lock are installed in a virtual environment' -Test {
    if ($Run.Repair) {
        Add-Difference repair-requested 'packages' 'not checked' 'reinstalled because of --repair'
    }
    elseif (Test-LockMark) { Compare-Environment }
    else { Add-Difference packages 'packages' $null (Get-EnvironmentFolder) }
} -Apply {
    Add-Folder $Programs
    Add-Folder $CacheFolder
    if (Test-EnvironmentKept) {
        Write-EnvironmentList
        return
    }
    $Run.Installing = $true
    $lockFile = New-LockFile 'lock.txt' $Lock
    $variables = Get-PackageEnvironment
    $uv = ''
    if ((Get-PackageInstaller) -eq 'uv') { $uv = Install-Uv $variables }   # while the server still runs
    Start-Environment
    if ($uv) { Install-WithUv $uv $lockFile $variables } else { Install-WithPip $lockFile $variables }
    Assert-Import
    Remove-FileList (Split-Path -Leaf (Get-EnvironmentFolder))   # of the files before
    Write-TextFile (Get-LockMark) (Get-LockMarkText)
    Write-EnvironmentList
    $Run.Repair = $false
}
