# ConvertTo-Json as in Windows PowerShell 3.0 to 5.1, where it differs: what a command that outputs nothing leaves in a hashtable
# becomes {} (PowerShell/PowerShell issue 9231), and some characters and spaces are written in another way.

function global:Get-StandInJsonValue($Value) {
    if ($Value -is [Collections.IDictionary]) {
        $copy = [ordered]@{}
        foreach ($key in $Value.Keys) {
            if ($null -eq $Value[$key] -and @($Value[$key]).Count -eq 0) { $copy[$key] = New-Object PSObject }
            else { $copy[$key] = Get-StandInJsonValue $Value[$key] }
        }
        return $copy
    }
    if ($Value -is [object[]]) {
        $items = New-Object object[] $Value.Count
        for ($i = 0; $i -lt $items.Count; $i++) { $items[$i] = Get-StandInJsonValue $Value[$i] }
        return , $items
    }
    , $Value
}

function global:ConvertTo-Json {
    [CmdletBinding()]
    param([Parameter(Mandatory = $true, Position = 0, ValueFromPipeline = $true)] [AllowNull()] [AllowEmptyString()] [AllowEmptyCollection()] $InputObject,
        [int]$Depth = 2, [switch]$Compress)
    begin { $all = New-Object Collections.ArrayList }
    process { [void]$all.Add((Get-StandInJsonValue $InputObject)) }
    end {
        $given = if ($all.Count -eq 1) { , $all[0] } else { , $all.ToArray() }
        $json = Microsoft.PowerShell.Utility\ConvertTo-Json -InputObject $given -Depth $Depth -Compress:$Compress
        foreach ($character in "'", '<', '>', '&') { $json = $json.Replace($character, ('\u{0:x4}' -f [int][char]$character)) }
        if ($Compress) { return $json }
        [regex]::Replace($json, '(?m)^(\s*"(?:[^"\\]|\\.)*":) ', '$1  ')
    }
}
