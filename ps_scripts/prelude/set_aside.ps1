# ---- prelude: set_aside ----------------------------------------------------------------------------
# Set a folder aside until another one has taken its place.

# What is installed again may be all that works. So its folder only gets another name, and it is in use again if the new
# one cannot be completed. If a run is killed meanwhile, the next apply does that. The step cleanup removes the folder.

$AsideName = '\A(.+\\(?:env|python|openssl)-[^\\]+)\.replaced\z'   # in the record

function Move-Aside([string]$Folder) {
    Assert-NoLink $Folder
    Save-Before 'folder' "$Folder.replaced" $null
    if (Test-Path -LiteralPath "$Folder.replaced") { Remove-Folder "$Folder.replaced" }
    Invoke-FileChange 'move-folder' $Folder "$Folder.replaced"
}

# Return whether a folder was set aside, and nothing has taken its place. An environment is complete if it has its mark.
function Test-Aside([string]$Folder) {
    $mark = if ((Split-Path -Leaf $Folder) -clike 'env-*') { '\nbserver.lock' } else { '' }
    (Test-Path -LiteralPath "$Folder.replaced$mark") -and -not (Test-Path -LiteralPath "$Folder$mark")
}

function Restore-Aside([string]$Folder) {
    if (Test-Path -LiteralPath $Folder) {
        Stop-ProcessBelow $Folder
        Remove-Folder $Folder
    }
    Assert-NoLink "$Folder.replaced"
    Invoke-FileChange 'move-folder' "$Folder.replaced" $Folder
    Remove-Line @{ kind = 'folder'; key = "$Folder.replaced" }
    Write-Event restored @{ kind = 'folder'; what = $Folder }
}

# Called before an apply. A run that was killed has stopped the server.
function Restore-EveryAside {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -ne 'folder' -or $line.key -cnotmatch $AsideName) { continue }
        $folder = $Matches[1]
        if ((Split-Path -Parent $folder) -ne $Programs -or -not (Test-Aside $folder)) { continue }
        $Run.Step = $line.step
        Restore-Aside $folder
        $environment = Get-ServerEnvironment
        if ($environment, (Get-BaseFolder $environment) -contains $folder) { $Run.StoppedEarly = $true }
    }
}

# Stop the server before what it runs is replaced. If this run fails, it starts the server again.
function Stop-ServerEarly {
    if (Test-AnswerAsSaved) { $Run.Answered = $true }
    $Run.StoppedEarly = $true
    Stop-Server
}
