# ---- prelude: data_folder_names --------------------------------------------------------------------
# Refuse a notebook.directory by its name: a folder of Windows, of nbserver, or of a user.

# Return a failure if the service must not get access to a folder of this name, else nothing.
function Get-FolderNameFault([string]$Folder) {
    $fault = Get-FolderSyntaxFault $Folder
    if ($fault) { return $fault }
    $fault = Get-ProfileFault $Folder
    if ($fault) { return $fault }
    if (Test-SystemFolder $Folder) { return New-Failure folder-of-windows ('the folder belongs to Windows or to ' +
            'installed programs') }
    $notebooks = Join-Path $StateFolder 'notebooks'
    if ($Folder -eq $notebooks -or (Test-Below $Folder $notebooks)) { return }
    if ($Folder -eq $StateFolder -or (Test-Below $Folder $StateFolder)) {
        New-Failure folder-of-nbserver 'in {state}, only {notebooks} can be used for notebooks' @{
            state = $StateFolder; notebooks = $notebooks
        }
    }
}

# C:\\Windows, C:/Windows, and short names such as C:\PROGRA~1 are other names of folders that are refused. The names
# below are compared with the form in which Windows writes a path.
function Get-FolderSyntaxFault([string]$Folder) {
    if ($Folder -match '~\d|[. ](\\|$)') {
        return New-Failure folder-name-ambiguous ('the path must not contain a short name such as PROGRA~1 or a name ' +
            'that ends with a period or space')
    }
    if ($Folder -cmatch '\A[A-Za-z]:\z') {
        return New-Failure folder-is-drive 'the path must not be the root of a drive'
    }
    if ($Folder -cnotmatch '\A[A-Za-z]:\\[^:]+\z' -or $Folder -ne [IO.Path]::GetFullPath($Folder)) {
        New-Failure folder-name-form 'expected a path with a drive letter and without / or .., such as D:\notebooks'
    }
}

function Get-ProfileFault([string]$Folder) {
    $profiles = @("$env:SystemDrive\Users")
    if ($env:PUBLIC) { $profiles += Split-Path -Parent $env:PUBLIC }
    if ($profiles + $env:ProgramData -contains $Folder) {
        return New-Failure folder-of-others 'the folder contains subfolders that belong to other programs or users'
    }
    if ($profiles -contains (Split-Path -Parent $Folder)) {
        New-Failure folder-is-profile 'the folder must not be a user profile'
    }
}

function Test-SystemFolder([string]$Folder) {
    $drive = [IO.Path]::GetPathRoot($Folder)
    $system = @($env:SystemRoot, $env:ProgramFiles, ${env:ProgramFiles(x86)})
    $system += 'System Volume Information', '$Recycle.Bin', 'Recovery', 'Boot', 'EFI' | ForEach-Object { "$drive$_" }
    foreach ($name in $system) {
        if (-not $name) { continue }
        if ($Folder -eq $name -or (Test-Below $Folder $name)) { return $true }
    }
    $false
}
