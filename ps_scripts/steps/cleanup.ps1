# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove the programs and packages of earlier runs that are not used any more.

# They are removed last, when the new server has answered: an upgrade that fails keeps them. Only what is in the record
# is removed, in the same way as undo removes it.

Add-Step cleanup 'Unused programs and packages of earlier runs are removed' -Test {
    foreach ($line in Get-UnusedLine) { Add-Difference installed-path '{path}' 'installed' $null @{ path = $line.key } }
} -Apply {
    foreach ($line in @(Get-UnusedLine)) {
        Write-StepProgress removing 'Removing {path}' @{ path = $line.key }
        try { Undo-Line $line }
        catch {
            throw (New-Failure unused-not-removed ('could not remove {path}: {cause}. The new server is already ' +
                    'running. Close the programs that use {path}, then try again') @{
                    path = $line.key
                } -Cause $_.Exception)
        }
    }
}
