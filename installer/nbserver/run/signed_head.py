"""chain.jsonl.sig of a run directory: an SSH signature of the last line of the chain, which stands for all lines before it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import sshsig
from nbserver.base import atomic_file, plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import cause, message, phrase
from nbserver.run.chain import FILE, Link

if TYPE_CHECKING:
    from nbserver.approval.signing_key import SigningKey
    from nbserver.settings.secret import Ask

SIGNATURE = f"{FILE}.sig"
NAMESPACE = "nbserver-evidence"
_ADVICE = message("run-signature-advice", "Find out who changed the chain or its signature")


@dataclass(frozen=True)
class SignedHead:
    """The signature was made with `key` when the chain had `n` lines."""

    key: sshsig.PublicKey
    n: int


def load_key(path: Path, ask: Ask | None) -> SigningKey:
    """Return the key of --evidence-key. Raises SecretError and ApprovalError."""
    from nbserver.approval import signing_key

    return signing_key.load(path, lambda: ask(phrase("Passphrase of {file}: ", file=path)) if ask else None)


def sign(folder: Path, line: bytes, key: SigningKey) -> None:
    """Write the signature of the last line. Raises SecretError and OSError."""
    atomic_file.write_bytes(folder / SIGNATURE, key.armored(line, NAMESPACE), mode=0o600)


def check(folder: Path, links: Sequence[Link]) -> SignedHead:
    """Return what is signed. Raises ApprovalError if the file is not the signature of a line of the chain."""
    path = folder / SIGNATURE
    data = plain_file.read(path, sshsig.LIMIT, advice=_ADVICE)
    try:
        signature = sshsig.parse(data)
        reason: Exception | None = None
        for link in reversed(links):
            try:
                signature.verify(link.line(), NAMESPACE)
                return SignedHead(signature.key, link.n)
            except ValueError as error:
                reason = reason or error
        raise reason or ValueError
    except ValueError as error:
        raise ApprovalError(
            "run-signature-wrong",
            "the run's signature is not valid: {reason}",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=_ADVICE,
            reason=cause(error),
        ) from None


def public_key(path: Path) -> sshsig.PublicKey:
    """Return the key in a file such as id_ed25519.pub. Raises ApprovalError."""
    advice = message("public-key-expected", "Specify an Ed25519 public key, such as the .pub file that ssh-keygen -t ed25519 creates")
    data = plain_file.read(path, sshsig.LIMIT, advice=advice)
    try:
        return sshsig.parse_key(base64.b64decode(data.split()[1], validate=True))
    except (ValueError, IndexError):
        raise ApprovalError(
            "public-key-invalid",
            "the file does not contain an Ed25519 public key",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=advice,
        ) from None
