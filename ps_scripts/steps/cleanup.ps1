# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove or restore what earlier runs installed or changed and is no longer needed.

# This is the last step, after the new server has answered: an upgrade that fails keeps everything. Only what is in the
# record is removed or restored, in the same way as undo does it.

# A folder that was set aside was not there before, either, but its name would say that it was restored.
function Remove-Unused($Line) {
    if ($Line.key -cmatch $AsideName) {
        Remove-Folder $Line.key
        Remove-Line $Line
        return
    }
    Undo-Line $Line
    Remove-FileList (Split-Path -Leaf $Line.key)
}

Add-Step cleanup 'Files and changes that are no longer needed are removed' -Test {
    foreach ($line in Get-UnusedLine) { Add-Difference installed-path '{path}' 'installed' $null @{ path = $line.key } }
    foreach ($line in Get-DroppedLine) {
        Add-Difference dropped-setting (
            'earlier change that the inventory no longer requires ({kind} {key})') 'in effect' 'undone' @{
            kind = $line.kind; key = $line.key
        }
    }
} -Apply {
    foreach ($line in @(Get-UnusedLine)) {
        Write-StepProgress removing 'Removing {path}' @{ path = $line.key }
        try { Remove-Unused $line }
        catch {
            throw (New-Failure unused-not-removed ('could not remove {path}, which is no longer used: {cause}. The ' +
                    'notebook server is running. Fix this error (for example, close the programs that are using ' +
                    '{path}), then run nbserver apply again') @{
                    path = $line.key
                } -Cause $_.Exception)
        }
    }
    foreach ($line in @(Get-ReversedRecord)) {
        if (-not (Test-DroppedLine $line)) { continue }   # a folder may be empty only now
        try { Undo-Line $line }
        catch {
            throw (New-Failure dropped-not-restored ('could not undo an earlier change that the inventory no longer ' +
                    'requires ({kind} {key}): {cause}. The notebook server is running. Fix this error, then run ' +
                    'nbserver apply again') @{
                    kind = $line.kind; key = $line.key
                } -Cause $_.Exception)
        }
    }
}
