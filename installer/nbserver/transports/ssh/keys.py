"""The private key that the inventory names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import SecretError

if TYPE_CHECKING:
    from asyncssh import SSHKeyPair


def load_key(path: Path, password: str | None, *, host: str) -> Sequence[SSHKeyPair]:
    """The key, and with it the certificate that stands beside it in NAME-cert.pub. Raises SecretError."""
    import asyncssh

    try:
        return asyncssh.load_keypairs([str(path)], password)
    except OSError as error:
        raise SecretError(f"key_file: {path} cannot be read: {error.strerror}", where=host, todo="Correct the path or file") from None
    except asyncssh.KeyEncryptionError:
        what = (
            f"key_file: key_password does not open {path}" if password else f"key_file: {path} is encrypted in a way that is not known here"
        )
        raise SecretError(what, where=host, todo="Correct key_password in the inventory, or use a key that ssh-keygen makes") from None
    except asyncssh.KeyImportError as error:
        if password is None and ("assphrase" in str(error)):
            raise SecretError(
                f"key_file: {path} is encrypted, and there is no key_password",
                where=host,
                todo="Put key_password into the inventory, or leave out key_file and add the key to your agent with ssh-add",
            ) from None
        if password is not None and "nable to decrypt" in str(error):
            raise SecretError(
                f"key_file: key_password does not open {path}", where=host, todo="Correct key_password in the inventory"
            ) from None
        raise SecretError(
            f"key_file: {path} is not a private key that can be used here",
            where=host,
            todo="Name the private key, not the .pub file; PuTTY's .ppk becomes one with: puttygen KEY.ppk -O private-openssh-new",
        ) from None
