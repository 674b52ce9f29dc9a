# ---- prelude: state_folder -------------------------------------------------------------------------
# Create the state folder, or refuse it: undo trusts the record in it.

# The folder is for the accounts in $Trusted. If other accounts have access, it is refused.
function Initialize-StateFolder {
    if (-not (Test-Path -LiteralPath $StateFolder)) { New-StateFolder }
    Assert-StateFolder
}

function New-StateFolder {
    try { New-ClosedFolder $StateFolder $StateAccess }
    catch {
        throw (New-Failure state-folder-not-created ('{path} could not be created: {cause}. ' +
                'Run this as an account that can write to {parent}') @{
                path = $StateFolder; parent = Split-Path -Parent $StateFolder
            } -Cause $_.Exception)
    }
    if (@(Get-ChildItem -LiteralPath $StateFolder -Force).Count) {
        throw (New-Failure state-folder-filled ('another account created {path} at the same moment, and files in it. ' +
                'Check and remove it, then run this again') @{ path = $StateFolder })
    }
}

function Assert-StateFolder {
    Assert-NoLink $StateFolder
    $fault = Get-AccessFault $StateFolder $Trusted $AnyRight
    if ($fault) {
        throw (New-Failure state-folder-untrusted ('{path} cannot be trusted with what undo restores: {cause}. ' +
                'Check and remove it as an administrator, then run this again') @{ path = $StateFolder } -Cause $fault)
    }
}
