# ---- prelude: envelope -----------------------------------------------------------------------------
# Read the envelope: the only input of a run in addition to this script.

# Secrets stay in $Secrets, and only .NET methods receive them: what is passed to a command can appear in the logs of
# Windows (module logging).
$Secrets = @{}

# Read the lines of the envelope: a name and one or two values, separated by a space. Operator and secrets are Base64.
# A line that does not match is not quoted in the message, because it may contain a secret.
function Read-Envelope {
    $Run.Mode = $Mode
    $Run.Asks = -not @($EnvelopeLines).Count
    $number = 0
    foreach ($line in $EnvelopeLines) {
        $number++
        if ((Add-PartLine $line) -or (Add-LogLine $line) -or (Add-ArchiveLine $line)) { continue }
        switch -CaseSensitive -Regex ([string]$line) {
            "^mode ($(@($Modes.Keys) -join '|'))\z" { $Run.Mode = $Matches[1]; break }
            '^run ([0-9A-Za-z-]{1,64})\z' { $Run.Id = $Matches[1]; break }
            '^operator ([^ ]*)\z' {
                $Run.Operator = $Utf8.GetString([Convert]::FromBase64String($Matches[1]))
                break
            }
            '^time ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\z' {
                $Run.ClockAhead = [DateTime]::UtcNow - (ConvertFrom-UtcTime $Matches[1])
                break
            }
            '^after ([0-9]{1,9})\z' { $Run.After = [int]$Matches[1]; break }
            '^boot-before ([0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z)\z' { $Run.BootBefore = $Matches[1]; break }
            '^restarts ([0-9])\z' { $Run.Restarts = [int]$Matches[1]; break }
            '^former-salt ([A-Za-z0-9+/]{22})\z' { $Run.FormerSalt = $Matches[1]; break }
            '^new-salt yes\z' { $Run.NewSalt = $true; break }
            '^thorough yes\z' { $Run.Thorough = $true; break }
            '^repair yes\z' { $Run.Repair = $true; break }
            '^evidence ([0-9a-f]{64})\z' { $Run.Evidence = $Matches[1]; break }
            '^secret ([a-z][a-z0-9_.]*) ([^ ]*)\z' {
                $Secrets[$Matches[1]] = $Utf8.GetString([Convert]::FromBase64String($Matches[2]))
                break
            }
            default {
                throw (New-Failure envelope-line-unknown ('line {number} on standard input (the envelope) is not ' +
                        'valid. Correct it as described in docs/formats.md') @{ number = $number })
            }
        }
    }
    if (-not $Run.Id) { $Run.Id = New-RunId }
}

# Return whether the line is about the log of the server, and keep what it says.
function Add-LogLine([string]$Line) {
    $form = '^log ([0-9]{1,5}) (-|[0-9TZ:-]{20}) ([0-9]|[1-5][0-9]|60) (-|[A-Za-z0-9:;=]{1,500})\z'
    if ($Line -cnotmatch $form) { return $false }
    $Run.Log = @{ Lines = [int]$Matches[1]; Since = $Matches[2]; Seconds = [int]$Matches[3]; Cursor = $Matches[4] }
    $true
}

# Return whether the line is the hash of an archive, and keep it.
function Add-ArchiveLine([string]$Line) {
    if ($Line -cnotmatch '^archived ([0-9a-f]{64})\z') { return $false }
    $Run.Archived = $Matches[1]
    $true
}

function ConvertFrom-UtcTime([string]$Text) {
    [DateTime]::ParseExact($Text, "yyyy-MM-dd'T'HH:mm:ss'Z'",
        [Globalization.CultureInfo]::InvariantCulture, 'AssumeUniversal, AdjustToUniversal')
}

function New-RunId {
    [DateTime]::UtcNow.ToString("yyyyMMdd'T'HHmmss'Z'", [Globalization.CultureInfo]::InvariantCulture) + '-by-hand'
}

# A run by hand asks for what the envelope would contain. With an envelope, another program runs the script: nobody
# would answer, and the run would keep the lock.
function Request-Secret([string]$Name, [string]$Prompt) {
    if ($Secrets.ContainsKey($Name) -or -not $Run.Asks) { return }
    if ('apply', 'rotate', 'set-password' -notcontains $Run.Mode) { return }
    $typed = Read-Host -Prompt $Prompt -AsSecureString
    $Secrets[$Name] = (New-Object Net.NetworkCredential('', $typed)).Password
}

# Without a new secret, the secret that an earlier run wrote to a file is kept. $Pattern's first group matches it.
function Read-KeptSecret {
    param([string]$Name, [string]$File, [string]$Pattern)
    if ($Secrets.ContainsKey($Name)) { return }
    if (-not (Test-Path -LiteralPath $File) -or -not (Test-Record 'file' $File)) { return }
    $found = [regex]::Match([IO.File]::ReadAllText($File, $Utf8), $Pattern)
    if ($found.Success) { $Secrets[$Name] = $found.Groups[1].Value }
}

# Keep the text of a file as a secret.
function Read-SecretFile([string]$Name, [string]$Path) { $Secrets[$Name] = [IO.File]::ReadAllText($Path, $Utf8) }

# Return the part of a secret that is not secret, such as the salt of a hash. $Pattern's first group matches it.
function Get-SecretPart([string]$Name, [string]$Pattern) {
    if (-not $Secrets.ContainsKey($Name)) { return '' }
    [regex]::Match($Secrets[$Name], $Pattern).Groups[1].Value
}

# Return the text with @NAME@ replaced by the secret of that name.
function Expand-Secret([string]$Text, [string]$Name) {
    if ($Name) { $Text.Replace("@$Name@", $Secrets[$Name]) } else { $Text }
}
