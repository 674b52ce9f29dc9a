# ---- prelude: der ----------------------------------------------------------------------------------
# Read the few DER elements of a certificate that .NET does not decode.

# DER (ITU-T X.690) writes every value as an element of three parts: a tag of one byte that says what it is, the length
# of the value in bytes, and the value. The value of a SEQUENCE consists of elements again.
#
# The length (X.690, 8.1.3) is one byte if it is at most 127. Otherwise, the first byte is 128 plus the number of bytes
# that follow, and these are the length, most significant byte first: 82 01 F4 means 500, in two bytes.

# Return the tag of the element that begins at $Position, and where its value starts and where it ends: $End is the
# position of the first byte after it.
function Read-DerElement([byte[]]$Bytes, [int]$Position) {
    $start = $Position + 2
    $length = [int]$Bytes[$Position + 1]
    if ($length -gt 127) {
        $lengthBytes = $length - 128
        $length = 0
        for ($i = 0; $i -lt $lengthBytes; $i++) { $length = 256 * $length + $Bytes[$start + $i] }
        $start += $lengthBytes
    }
    @{ Tag = $Bytes[$Position]; Start = $start; End = $start + $length }
}

# Return the DNS names and IP addresses in the extension for subject alternative names. .NET returns them as text in the
# display language of Windows. The extension is a SEQUENCE of names (RFC 5280, 4.2.1.6). Of its kinds of names, two are
# for servers: dNSName, tag [2] (0x82), in ASCII; and iPAddress, tag [7] (0x87), as 4 or 16 bytes. An IP address that is
# a dNSName is returned with the prefix DNS: because it is not valid for that address.
function Read-AlternativeName([byte[]]$Extension) {
    $dnsName = 0x82
    $ipAddress = 0x87
    $position = (Read-DerElement $Extension 0).Start
    while ($position -lt $Extension.Length) {
        $name = Read-DerElement $Extension $position
        $value = New-Object byte[] ($name.End - $name.Start)
        [Array]::Copy($Extension, $name.Start, $value, 0, $value.Length)
        if ($name.Tag -eq $dnsName) {
            $text = $Utf8.GetString($value).ToLowerInvariant()
            $address = $null
            $isAddress = $text -match '^[0-9.]+$|:' -and [Net.IPAddress]::TryParse($text, [ref]$address)
            if ($isAddress) { "DNS:$address" } else { $text }
        }
        elseif ($name.Tag -eq $ipAddress) { (New-Object Net.IPAddress (, $value)).ToString() }
        $position = $name.End
    }
}

# Return the length of an RSA key in bits: that of its modulus. The key is a SEQUENCE of two numbers, of which the
# modulus is the first (RFC 8017, A.1.1). DER puts a zero byte before a number whose first bit is set, because it would
# be negative otherwise (X.690, 8.3): zero bits at the beginning do not count.
function Get-ModulusBits([byte[]]$PublicKey) {
    $sequence = Read-DerElement $PublicKey 0
    $modulus = Read-DerElement $PublicKey $sequence.Start
    $first = $modulus.Start
    while ($first -lt $modulus.End - 1 -and $PublicKey[$first] -eq 0) { $first++ }
    $bitsOfFirstByte = [Convert]::ToString($PublicKey[$first], 2).Length
    $bitsOfFirstByte + 8 * ($modulus.End - $first - 1)
}
