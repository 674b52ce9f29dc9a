# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

# The task is disabled, because its second trigger would start the server again. The step service registers it again.
function Stop-Server {
    if (-not (Test-Record 'task' 'nbserver') -or -not (Get-TaskXml 'nbserver')) { return }
    [void](Disable-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop)
    Stop-Task 'nbserver'
}

# Only a warning, once per run and folder: kernels of the site may have been installed into the environment.
$AddedReported = @{}

function Write-AddedFile([string[]]$Paths) {
    $folder = ($Paths[0].Substring($Programs.Length + 1) -split '\\')[0]
    if ($AddedReported[$folder]) { return }
    $AddedReported[$folder] = $true
    Write-Notice warning files-added ('{folder} contains files that nbserver did not install ({count}), such as ' +
        '{path}. Check where they came from. To remove them, run nbserver apply --repair') @{
        folder = Join-Path $Programs $folder; count = $Paths.Count; path = $Paths[0]
    }
}
