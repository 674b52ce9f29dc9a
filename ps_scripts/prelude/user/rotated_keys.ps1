# ---- prelude: rotated_keys -------------------------------------------------------------------------
# Report which access a rotation cannot revoke in user scope.

# The host always creates the key itself.
function Assert-NewKey { $Run.Step = 'certificate' }

# Kernels have the rights of the user.
function Write-AccountNotice {
    $Run.Step = 'service'
    Write-Notice warning rotated-own-account-windows ('notebooks run with all the rights of your account, so they ' +
        'may have changed your other files. Check your Startup folder, your scheduled tasks, and your PowerShell ' +
        'profile. Then run nbserver apply --repair, which reinstalls the packages of the server')
}
