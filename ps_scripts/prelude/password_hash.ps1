# ---- prelude: password_hash ------------------------------------------------------------------------
# Read the password hash that was sent, or keep the one that an earlier run set.

$HashSecret = 'notebook.password_hash'

function Read-PasswordHash {
    Read-KeptSecret $HashSecret $ConfigurationFile $HashPattern
    Request-Secret $HashSecret $HashPrompt
    Assert-PasswordHash
}

# The hash is written into JSON unchanged, and kernels can read it: a password in its place would be shown to them.
function Assert-PasswordHash {
    if (Get-SecretPart $HashSecret '\A((argon2|sha[0-9]+):[A-Za-z0-9:$=,+/.]+)\z') { return }
    throw (New-Failure password-hash-invalid ('the notebook password hash is missing or not valid. Create a hash ' +
            'with nbserver hash-password, then run this script again with that hash'))
}
