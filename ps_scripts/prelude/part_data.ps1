# ---- prelude: part_data ----------------------------------------------------------------------------
# Keep the parts of files that were sent in the envelope, and their data.

# PowerShell remoting sends the data as byte arrays after the envelope. A command shell sends text, so there the data is
# in lines of the envelope. A run begins when all of it has arrived: a lost connection leaves no run that waits.

$Parts = New-Object Collections.ArrayList                # parts of files
# The data of the parts in their order, the position in the first block, and how much the present part still has.
$PartData = @{ Blocks = New-Object Collections.Generic.Queue[byte[]]; Position = 0; Left = 0 }

# Return the lines of the envelope, and keep the byte arrays.
function Read-EnvelopeLine($Source) {
    foreach ($item in $Source) {
        if ($item -is [byte[]]) { $PartData.Blocks.Enqueue($item) } else { [string]$item }
    }
}

# Return whether the line is about files that are copied, and keep what it says.
function Add-PartLine([string]$Line) {
    if ($Line -cmatch '^part ([^ ]+) ([0-9]{1,15}) ([0-9a-f]{64}) ([0-9]{1,15}) ([0-9]{1,9}) (-|[0-9a-f]{64})\z') {
        [void]$Parts.Add(@{
                Path = $Utf8.GetString([Convert]::FromBase64String($Matches[1])); Size = [long]$Matches[2]
                Sha256 = $Matches[3]; Offset = [long]$Matches[4]; Length = [int]$Matches[5]; Before = $Matches[6]
            })
        return $true
    }
    if (-not $Line.StartsWith('data ', [StringComparison]::Ordinal)) { return $false }
    $PartData.Blocks.Enqueue([Convert]::FromBase64String($Line.Substring(5)))
    $true
}

function Start-PartData($Part) { $PartData.Left = $Part.Length }

# Write the rest of the data of this part to the stream, or skip it without a stream. Return whether there was enough.
function Copy-PartData([IO.Stream]$Stream) {
    while ($PartData.Left) {
        if (-not $PartData.Blocks.Count) { return $false }
        $block = $PartData.Blocks.Peek()
        $size = [Math]::Min($PartData.Left, $block.Length - $PartData.Position)
        if ($Stream) { $Stream.Write($block, $PartData.Position, $size) }
        $PartData.Left -= $size
        $PartData.Position += $size
        if ($PartData.Position -lt $block.Length) { continue }
        [void]$PartData.Blocks.Dequeue()
        $PartData.Position = 0
    }
    $true
}

# Write the data of a part to its place in the stream of a file, and close the stream. Return whether all of it was
# there, and the SHA-256 of the file if the file is now complete.
function Save-PartData([IO.Stream]$Stream, $Part) {
    $saved = @{ Arrived = $false; Sha256 = '' }
    try {
        $Stream.SetLength($Part.Offset)
        [void]$Stream.Seek($Part.Offset, 'Begin')
        $saved.Arrived = Copy-PartData $Stream
        if ($saved.Arrived -and $Stream.Length -ge $Part.Size) {
            $Stream.Flush($true)
            [void]$Stream.Seek(0, 'Begin')
            $saved.Sha256 = Get-Sha256 $Stream
        }
    }
    finally { $Stream.Close() }
    $saved
}

function Write-FileState {
    param([string]$State, [string]$Path, $Size = 0, [string]$Sha256 = '')
    Write-Event file @{ path = $Path; sha256 = $Sha256; size = $Size; state = $State }
}
