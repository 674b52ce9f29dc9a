# GetActiveTcpListeners of .NET, from the table that Wine reads as well. Wine also looks up the process of each connection of this
# machine, which nobody asks for: half a million calls for one answer, and a wait asks ten times in a second.

Update-TypeData -Force -TypeName System.Net.NetworkInformation.IPGlobalProperties -MemberType ScriptMethod -MemberName GetActiveTcpListeners -Value {
    foreach ($table in 'tcp', 'tcp6') {
        foreach ($line in [IO.File]::ReadAllLines("Z:\proc\net\$table")) {
            if ($line -cnotmatch '^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F:]+ 0A ') { continue }  # 0A: it listens
            $port = [Convert]::ToInt32($Matches[2], 16)
            $address = for ($word = 0; $word -lt $Matches[1].Length; $word += 8) {
                foreach ($byte in 6, 4, 2, 0) { [Convert]::ToByte($Matches[1].Substring($word + $byte, 2), 16) }
            }
            New-Object Net.IPEndPoint((New-Object Net.IPAddress(, [byte[]]$address)), $port)
        }
    }
}
