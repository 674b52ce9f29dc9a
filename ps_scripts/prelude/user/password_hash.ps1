# ---- prelude: password_hash ------------------------------------------------------------------------
# Get the hash of the password, or keep the one that an earlier run set.

function Read-PasswordHash {
    Read-KeptSecret 'notebook.password_hash' $ConfigurationFile $HashPattern
    Request-Secret 'notebook.password_hash' $HashPrompt
}
