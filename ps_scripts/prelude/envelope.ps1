# ---- prelude: the envelope, the only input of a run beside this script ---------------------------------
# Lines of `name value`: mode test|apply|undo|request|events, run ID, operator BASE64, time UTC, after N,
# boot-before TIME, restarts N, former-salt SALT, new-salt yes, secret NAME BASE64.
# Secrets stay in $Secrets and touch .NET methods only: what goes through a command's parameters
# can end in Windows' module logging.

$Secrets = @{}

function Read-Envelope {
    $Run.Mode = $Mode
    $number = 0
    foreach ($line in $EnvelopeLines) {
        $number++
        $word = ([string]$line).Split([char[]]' ')
        if ($word[0] -ceq 'mode' -and $word.Count -eq 2 -and 'test', 'apply', 'undo', 'request', 'events' -ccontains $word[1]) { $Run.Mode = $word[1] }
        elseif ($word[0] -ceq 'run' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9A-Za-z-]{1,64}\z') { $Run.Id = $word[1] }
        elseif ($word[0] -ceq 'operator' -and $word.Count -eq 2) { $Run.Operator = $Utf8.GetString([Convert]::FromBase64String($word[1])) }
        elseif ($word[0] -ceq 'time' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z') {
            # How much this host's clock is ahead of the workstation's, as a time span; preflight looks at it.
            $theirs = [DateTime]::ParseExact($word[1], "yyyy-MM-dd'T'HH:mm:ss'Z'", [Globalization.CultureInfo]::InvariantCulture, 'AssumeUniversal, AdjustToUniversal')
            $Run.ClockAhead = [DateTime]::UtcNow - $theirs
        }
        elseif ($word[0] -ceq 'after' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{1,9}\z') { $Run.After = [int]$word[1] }
        elseif ($word[0] -ceq 'boot-before' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z') { $Run.BootBefore = $word[1] }
        elseif ($word[0] -ceq 'restarts' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]\z') { $Run.Restarts = [int]$word[1] }
        elseif ($word[0] -ceq 'former-salt' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[A-Za-z0-9+/]{22}\z') {
            $Run.FormerSalt = $word[1]
        }
        elseif ($word[0] -ceq 'new-salt' -and $word.Count -eq 2 -and $word[1] -ceq 'yes') { $Run.NewSalt = $true }
        elseif ($word[0] -ceq 'secret' -and $word.Count -eq 3 -and $word[1] -cmatch '\A[a-z][a-z0-9_.]*\z') { $Secrets[$word[1]] = $Utf8.GetString([Convert]::FromBase64String($word[2])) }
        else { throw "line $number of the envelope is none that this script knows" }   # not quoted: it may be a secret
    }
    if (-not $Run.Id) { $Run.Id = [DateTime]::UtcNow.ToString("yyyyMMdd'T'HHmmss'Z'", [Globalization.CultureInfo]::InvariantCulture) + '-by-hand' }
}

# Run by hand, an apply asks for what the envelope would have brought.
function Request-Secret([string]$Name, [string]$Prompt) {
    if ($Secrets.ContainsKey($Name) -or $Run.Mode -ne 'apply') { return }
    $typed = Read-Host -Prompt $Prompt -AsSecureString
    $Secrets[$Name] = (New-Object Net.NetworkCredential('', $typed)).Password
}

# Where none is given, the one that an earlier run put into a file stays: $Pattern's first group.
function Read-KeptSecret([string]$Name, [string]$File, [string]$Pattern) {
    if ($Secrets.ContainsKey($Name) -or -not (Test-Path -LiteralPath $File) -or -not (Test-Record 'file' $File)) { return }
    $found = [regex]::Match([IO.File]::ReadAllText($File, $Utf8), $Pattern)
    if ($found.Success) { $Secrets[$Name] = $found.Groups[1].Value }
}

# The part of a secret that is not secret, such as the salt in a hash: $Pattern's first group.
function Get-SecretPart([string]$Name, [string]$Pattern) {
    if ($Secrets.ContainsKey($Name)) { [regex]::Match($Secrets[$Name], $Pattern).Groups[1].Value } else { '' }
}

# The text with its @NAME@ replaced by the secret of that name.
function Expand-Secret([string]$Text, [string]$Name) {
    if ($Name) { $Text.Replace("@$Name@", $Secrets[$Name]) } else { $Text }
}
