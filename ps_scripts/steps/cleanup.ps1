# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove the programs and packages of earlier runs that are not used any more.

# They are removed last, when the new server has answered: an upgrade that fails keeps them. Only what is in the record
# is removed, in the same way as undo removes it.

Add-Step cleanup 'What earlier runs installed and nothing uses is removed' -Test {
    foreach ($line in Get-UnusedLine) { Add-Difference installed-path '{path}' 'installed' $null @{ path = $line.key } }
} -Apply {
    foreach ($line in @(Get-UnusedLine)) {
        Write-StepProgress removing 'Removing {path}' @{ path = $line.key }
        try {
            Undo-Line $line
            Remove-FileList (Split-Path -Leaf $line.key)
        }
        catch {
            throw (New-Failure unused-not-removed ('{path} could not be removed: {cause}. Stop the programs that use ' +
                    'it, then run this again. The new server is already running') @{
                    path = $line.key
                } -Cause $_.Exception)
        }
    }
}
