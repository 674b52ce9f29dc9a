"""Load the private key that is set in the inventory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import SecretError
from nbserver.settings.private_key_file import require_private

if TYPE_CHECKING:
    from asyncssh import SSHKeyPair


def load_key(path: Path, password: str | None, *, host: str) -> Sequence[SSHKeyPair]:
    """Return the key, and the certificate in NAME-cert.pub next to it, if any. Raises SecretError, also if other users can read the key."""
    import asyncssh

    try:
        # Each connection has its own copy, and sets the signature algorithm of that.
        pairs = [copy(pair) for pair in _loaded(path, path.read_bytes(), _certificate(path), password)]
        require_private(path, where=host)
        return pairs
    except OSError as error:
        raise SecretError(
            "key-file-unreadable",
            "key_file: could not read {path}: {reason}",
            where=host,
            todo="Check that the file exists and that you can read it",
            path=path,
            reason=error.strerror,
        ) from None
    except asyncssh.KeyEncryptionError:
        if password:
            raise SecretError(
                "key-password-wrong-or-unsupported",
                "key_file: key_password does not decrypt {path}",
                where=host,
                todo="Correct key_password in the inventory, or use a key created with ssh-keygen",
                path=path,
            ) from None
        raise SecretError(
            "key-file-encryption-unsupported",
            "key_file: {path} is encrypted with an unsupported method",
            where=host,
            todo="Use a key created with ssh-keygen. If it is encrypted, set key_password in the inventory",
            path=path,
        ) from None
    except asyncssh.KeyImportError as error:
        if password is None and ("assphrase" in str(error)):
            raise SecretError(
                "key-file-encrypted",
                "key_file: {path} is encrypted, but key_password is not set",
                where=host,
                todo="Set key_password in the inventory, or remove key_file and add the key to your SSH agent with ssh-add",
                path=path,
            ) from None
        if password is not None and "nable to decrypt" in str(error):
            raise SecretError(
                "key-password-wrong",
                "key_file: key_password does not decrypt {path}",
                where=host,
                todo="Correct key_password in the inventory",
                path=path,
            ) from None
        raise SecretError(
            "key-file-unsupported",
            "key_file: {path} is not a supported private key",
            where=host,
            todo="Specify the private key, not the .pub file. To convert a PuTTY .ppk file, choose Conversions > Export OpenSSH key in PuTTYgen, or run: puttygen KEY.ppk -O private-openssh-new -o KEY",
            path=path,
        ) from None


@lru_cache(maxsize=64)
def _loaded(path: Path, key: bytes, certificate: bytes, password: str | None) -> Sequence[SSHKeyPair]:
    """Return what is in the files with this content. To decrypt a key takes a tenth of a second, which many hosts share."""
    import asyncssh

    return asyncssh.load_keypairs([str(path)], password)


def _certificate(path: Path) -> bytes:
    with suppress(OSError):
        return path.with_name(f"{path.name}-cert.pub").read_bytes()
    return b""
