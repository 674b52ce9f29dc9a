# ---- step: python ----------------------------------------------------------------------------------
# Check the Python that runs nbserver, from which the environment is created.

function Get-PythonFolder { $Settings.python.folder }

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

# Return the mark of a complete environment (step packages). The environment needs this Python.
function Get-LockMarkText { "$($Settings.packages.lock_sha256)`n$(Get-Python)`n" }

# A Python from the Microsoft Store keeps what it writes in a place that other programs do not see.
function Assert-PresentPython {
    $python = Get-Python
    if (Test-Below $python "$env:ProgramFiles\WindowsApps") {
        throw (New-Failure python-from-store ('{python} is from the Microsoft Store, which hides its files from ' +
                'other programs. Install nbserver in an environment with a 64-bit Python from python.org or uv, then ' +
                'try again') @{ python = $python })
    }
    if (-not (Test-Path -LiteralPath $python)) {
        throw (New-Failure python-missing ('{python} no longer exists. Install nbserver in an environment with a ' +
                '64-bit Python from python.org or uv, then try again') @{ python = $python })
    }
    Assert-PresentVersion $python
    if (-not (Test-Path -LiteralPath (Join-Path (Get-PythonFolder) 'Lib\site-packages\pip'))) {
        throw (New-Failure python-without-pip ('{python} does not have pip. In PowerShell, run ' +
                '& "{python}" -m ensurepip, then try again') @{ python = $python })
    }
}

function Assert-PresentVersion([string]$Python) {
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($Python)
    $is = "$($file.FileMajorPart).$($file.FileMinorPart)"
    if ($is -ne $Settings.python.version) {
        throw (New-Failure python-version ('{python} has version {is}, expected {expected}. Install nbserver in an ' +
                'environment with Python {expected}, then try again') @{
                python = $Python; is = $is; expected = $Settings.python.version
            })
    }
}

Add-Step python 'Python is installed' -Test { Assert-PresentPython } -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'python' })
}
