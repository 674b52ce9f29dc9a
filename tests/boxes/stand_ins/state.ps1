# Where the stand-ins keep what they were told, and how they fail.

function global:Get-StandInFolder([string]$Name) {
    $folder = "C:\nbserver-test\$Name"
    [void][IO.Directory]::CreateDirectory($folder)
    $folder
}

# A whole file or none: a reader never sees half of one.
function global:Write-StandInFile([string]$Path, [string]$Text, [Text.Encoding]$Encoding) {
    $new = "$Path.new"
    [IO.File]::WriteAllText($new, $Text, $Encoding)
    [IO.File]::Move($new, $Path, $true)
}

function global:New-StandInError([string]$Message, [string]$Id, [string]$Category, $Target) {
    $exception = New-Object System.Exception $Message
    New-Object System.Management.Automation.ErrorRecord $exception, $Id, $Category, $Target
}
