# ---- prelude: state_folder -------------------------------------------------------------------------
# Create the folder with the data for undo, or refuse it if others have access to it.

# The folder is for the accounts in $Trusted. If other accounts have access, it is refused.
function Initialize-StateFolder {
    if (-not (Test-Path -LiteralPath $StateFolder)) { New-StateFolder }
    Assert-StateFolder
}

function New-StateFolder {
    try { New-ClosedFolder $StateFolder $StateAccess }
    catch {
        throw (New-Failure state-folder-not-created ('could not create {path}: {cause}. Fix this error (for example, ' +
                'use an account that can write to {parent}), then try again') @{
                path = $StateFolder; parent = Split-Path -Parent $StateFolder
            } -Cause $_.Exception)
    }
    if (@(Get-ChildItem -LiteralPath $StateFolder -Force).Count) {
        throw (New-Failure state-folder-filled ('another account created {path} and put files in it while nbserver ' +
                'was creating it. Find out who created these files, remove the ' +
                'folder, then try again') @{ path = $StateFolder })
    }
}

function Assert-StateFolder {
    Set-Found state-folder-closed 'only trusted accounts have access to {path}' @{
        path = $StateFolder
    }
    Assert-NoLink $StateFolder
    $fault = Get-AccessFault $StateFolder $Trusted $AnyRight
    if ($fault) {
        throw (New-Failure state-folder-untrusted ('the folder {path} contains the data for undo, but is not safe to ' +
                'use: {cause}. As an administrator, copy the files that you want to keep, remove the folder, then ' +
                'try again') @{
                path = $StateFolder
            } -Cause $fault)
    }
}
