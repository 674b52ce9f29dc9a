# Runs scripts that come on standard input, one request a line: `run|keep SCRIPT LINE...`, each base64 of UTF-16LE ('-' is
# empty). Writes `ready` when it has begun, and answers with `out TEXT` for every text that the script puts out, `error TEXT` and
# `failed` where it failed, `done`.
$ErrorActionPreference = 'Stop'
$TestSession = @{}

function ConvertFrom-TestText([string]$Text) {
    if ($Text -ceq '-') { return '' }
    # By hand, here and below: an Encoding would replace half a surrogate pair.
    $bytes = [Convert]::FromBase64String($Text)
    $characters = New-Object char[] ($bytes.Length / 2)
    [Buffer]::BlockCopy($bytes, 0, $characters, 0, $bytes.Length)
    -join $characters
}

function Send-TestAnswer([string]$Word, [string]$Text) {
    $bytes = New-Object byte[] ($Text.Length * 2)
    [Buffer]::BlockCopy($Text.ToCharArray(), 0, $bytes, 0, $bytes.Length)
    $data = [Convert]::ToBase64String($bytes)
    if (-not $data) { $data = '-' }
    [Console]::Out.Write("$Word $data`n")
}

[Console]::Out.Write("ready`n")
while ($null -ne ($TestSession.Line = [Console]::In.ReadLine())) {
    $TestSession.Words = $TestSession.Line.Split(' ')
    try {
        $TestSession.Block = [scriptblock]::Create((ConvertFrom-TestText $TestSession.Words[1]))
        $TestSession.Lines = @(for ($TestSession.I = 2; $TestSession.I -lt $TestSession.Words.Count; $TestSession.I++) { ConvertFrom-TestText $TestSession.Words[$TestSession.I] })
        if ($TestSession.Words[0] -ceq 'keep') { . $TestSession.Block }
        else {
            foreach ($TestAnswer in @($TestSession.Lines | & $TestSession.Block)) {
                if ($TestAnswer -is [string]) { Send-TestAnswer out $TestAnswer }
                else { throw "the script put out something that is no text: $TestAnswer" }
            }
        }
    }
    catch {
        Send-TestAnswer error ([string]$_)
        [Console]::Out.Write("failed`n")
        continue
    }
    [Console]::Out.Write("done`n")
}
