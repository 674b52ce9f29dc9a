# ruff: noqa: F821
# What an earlier installation left in a folder of the machine: everybody may come in.
c.ServerApp.allow_unauthenticated_access = True
c.IdentityProvider.token = ""
c.PasswordIdentityProvider.hashed_password = ""
c.PasswordIdentityProvider.password_required = False
