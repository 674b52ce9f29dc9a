# ---- prelude: password_hash ------------------------------------------------------------------------
# Get the hash of the password, or keep the one that an earlier run set.

function Read-PasswordHash {
    Read-KeptSecret 'notebook.password_hash' $ConfigurationFile $HashPattern
    Request-Secret 'notebook.password_hash' $HashPrompt
}

# Without a new secret, the secret that an earlier run wrote to a file is kept. $Pattern's first group matches it.
function Read-KeptSecret {
    param([string]$Name, [string]$File, [string]$Pattern)
    if ($Secrets.ContainsKey($Name)) { return }
    if (-not (Test-Path -LiteralPath $File) -or -not (Test-Record 'file' $File)) { return }
    $found = [regex]::Match([IO.File]::ReadAllText($File, $Utf8), $Pattern)
    if ($found.Success) { $Secrets[$Name] = $found.Groups[1].Value }
}
