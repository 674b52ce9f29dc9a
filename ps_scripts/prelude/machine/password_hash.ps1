# ---- prelude: password_hash ------------------------------------------------------------------------
# Get the hash of the password.

function Read-PasswordHash { Request-Secret 'notebook.password_hash' $HashPrompt }
