# ---- step: python --------------------------------------------------------------------------------------
# The publisher's zip, unpacked into a folder of its own: no installer, nothing in the registry.

function Get-PythonFolder { Join-Path $Programs "python-$($Settings.python.version)" }

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

Step python 'Python is there, in a folder of its own' -Test {
    if (-not (Test-Path -LiteralPath (Get-Python))) { Difference 'Python' $null (Get-Python) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.python
    Expand-Download $Settings.python (Get-PythonFolder)
}
