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
    # Under Wine, the replacement of a file that another process reads at that moment can fail with "Not enough memory".
    for ($try = 1; ; $try++) {
        try { [IO.File]::Move($new, $Path, $true); return }
        catch { if ($try -ge 50) { throw } }
        [Threading.Thread]::Sleep(100)
    }
}

function global:New-StandInError([string]$Message, [string]$Id, [string]$Category, $Target) {
    $exception = New-Object System.Exception $Message
    New-Object System.Management.Automation.ErrorRecord $exception, $Id, $Category, $Target
}
