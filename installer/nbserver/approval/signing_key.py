"""The key of an approver: a private key in a file, or the public key of one in an SSH agent, which may be on a security key (FIDO)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.approval import sshsig
from nbserver.approval.sshsig import PublicKey
from nbserver.base import plain_file
from nbserver.base.errors import SecretError
from nbserver.base.message import DescribedError, cause, message
from nbserver.settings.private_key_file import require_private

LIMIT = 100_000  # bytes of a key file
AGENT_SECONDS = 120.0  # an agent may ask for a touch or a confirmation

Passphrase = Callable[[], str | None]
"""Returns the passphrase of the key file, or None if nobody can be asked. Called once, if the key is encrypted."""


@dataclass(frozen=True)
class SigningKey:
    """A key that can sign. `sign` returns the signature over some bytes in the form of SSH; it raises SecretError."""

    public: PublicKey
    sign: Callable[[bytes], bytes]

    def armored(self, data: bytes, namespace: str) -> bytes:
        """Return the signature file of `data`, which was verified. Raises SecretError."""
        found = sshsig.armored(self.public.blob, namespace, self.sign(sshsig.signed_data(data, namespace)))
        try:
            sshsig.parse(found).verify(data, namespace)
        except ValueError as error:
            raise SecretError(
                "key-signed-wrongly",
                "the signature that this key created is not valid: {reason}",
                todo="Use another key",
                reason=cause(error),
            ) from None
        return found


def load(path: Path, passphrase: Passphrase) -> SigningKey:
    """Return the key in a file. A public key stands for the private key in the agent. Raises SecretError and ApprovalError."""
    data = plain_file.read(
        path, LIMIT, advice=message("key-file-expected", "Specify a private key file, or the public key file of a key in the SSH agent")
    )
    if b"PRIVATE KEY-----" not in data:
        return _of_agent(_public_key(data, path))
    require_private(path, where=str(path))
    return _of_file(data, path, passphrase)


def _of_file(data: bytes, path: Path, passphrase: Passphrase) -> SigningKey:
    import asyncssh

    try:
        key = _imported(data, path, passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise SecretError(
            "private-key-invalid",
            "the file does not contain a private key that nbserver can read, or the passphrase is wrong",
            todo="Specify a key file that ssh-keygen created",
            where=str(path),
        ) from None
    public = _supported(key.public_data, path)
    if public.kind != sshsig.ED25519:
        raise SecretError(
            "security-key-in-file",
            "a key on a FIDO security key can only be used through the SSH agent",
            where=str(path),
            todo="Add it with ssh-add, and specify the .pub file",
        )
    return SigningKey(public, lambda signed: bytes(key.sign(signed, sshsig.ED25519.encode())))


def _imported(data: bytes, path: Path, passphrase: Passphrase) -> Any:
    import asyncssh

    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyImportError as error:
        if "assphrase" not in str(error):
            raise
    word = passphrase()
    if word is None:
        raise SecretError(
            "private-key-encrypted",
            "the private key is encrypted, and there is no terminal to ask for its passphrase",
            where=str(path),
            todo="Add --key-password, or use the SSH agent",
        )
    return asyncssh.import_private_key(data, word)


def _public_key(data: bytes, path: Path) -> PublicKey:
    words = data.split()
    try:
        return _supported(base64.b64decode(words[1], validate=True), path)
    except (IndexError, binascii.Error):
        raise SecretError(
            "key-file-neither",
            "the file contains neither a private key nor a public key",
            where=str(path),
            todo="Specify a key file that ssh-keygen created",
        ) from None


def _supported(blob: bytes, path: Path) -> PublicKey:
    try:
        return sshsig.parse_key(blob)
    except DescribedError as error:
        raise SecretError(
            "key-not-ed25519",
            "cannot sign with this key: {reason}",
            where=str(path),
            todo="Create a key with: ssh-keygen -t ed25519",
            reason=cause(error),
        ) from None


def _of_agent(public: PublicKey) -> SigningKey:
    return SigningKey(public, lambda signed: asyncio.run(_signed_by_agent(public, signed)))


async def _signed_by_agent(public: PublicKey, signed: bytes) -> bytes:
    import asyncssh

    try:
        async with asyncio.timeout(AGENT_SECONDS), asyncssh.connect_agent() as agent:
            return bytes(await agent.sign(public.blob, signed))
    except (OSError, ValueError, asyncssh.Error) as error:  # also TimeoutError
        raise SecretError(
            "agent-did-not-sign",
            "the SSH agent could not sign with the key {key} ({reason})",
            todo="Start the agent and add the key with ssh-add, or specify the private key file instead",
            key=public.fingerprint,
            reason=str(error) or type(error).__name__,
        ) from None
