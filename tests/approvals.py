"""Keys, files of allowed signers, and signed approvals of rendered folders."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat

from nbserver.approval import document, manifest, signing_key, sshsig
from nbserver.approval.document import NAMESPACE
from nbserver.base import utc

ANNA, BEN = "anna@example.com", "ben@example.com"
WEEK = timedelta(days=7)


def string(value: bytes) -> bytes:
    """A string in the encoding of SSH."""
    return len(value).to_bytes(4, "big") + value


def key(path: Path, passphrase: bytes | None = None) -> Path:
    """A new Ed25519 key in a file, with its public key next to it."""
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption))
    path.chmod(0o600)
    path.with_suffix(".pub").write_bytes(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" comment\n")
    return path


def line(name: str, key: Path, options: str = "") -> str:
    """A line of allowed signers."""
    kind, blob, _ = key.with_suffix(".pub").read_text("ascii").split()
    return " ".join(word for word in (name, options, kind, blob) if word) + "\n"


def security_key_signature(private: Ed25519PrivateKey, data: bytes, namespace: str, *, flags: int = 1, counter: int = 7) -> bytes:
    """What `ssh-keygen -Y sign` writes with a key on a security key, made by the rules of PROTOCOL.u2f."""
    point = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kind, application = sshsig.SK_ED25519.encode(), b"ssh:"
    digest = hashlib.sha256(sshsig.signed_data(data, namespace)).digest()
    tail = bytes([flags]) + counter.to_bytes(4, "big")
    raw = private.sign(hashlib.sha256(application).digest() + tail + digest)
    return sshsig.armored(string(kind) + string(point) + string(application), namespace, string(kind) + string(raw) + tail)


def base64_of(blob: bytes) -> str:
    return base64.b64encode(blob).decode("ascii")


def sign(
    folder: Path,
    key: Path,
    by: str,
    *,
    modes: tuple[str, ...] = ("apply", "plan"),
    hosts: tuple[str, ...] = (),
    issued: datetime | None = None,
    valid: timedelta = WEEK,
    namespace: str = NAMESPACE,
    scripts: dict[str, str] | None = None,
    **other: Any,
) -> Path:
    """Write an approval of a rendered folder, with other values of its keys where given, and return the document's path.

    `scripts` are other hashes of the scripts.
    """
    data = (folder / manifest.FILE_NAME).read_bytes()
    content = json.loads(data)
    issued = (issued or utc.now()).replace(microsecond=0)
    chosen = hosts or tuple(content["hosts"])
    text = document.build(content, hashlib.sha256(data).hexdigest(), hosts=chosen, modes=modes, by=by, issued=issued, valid=valid)
    other |= {"hosts": scripts} if scripts else {}
    if other:
        text = json.dumps(json.loads(text) | other).encode("ascii")
    place = folder / manifest.APPROVALS
    place.mkdir(exist_ok=True)
    path = place / document.file_name(text, issued)
    path.write_bytes(text)
    path.with_name(path.name + ".sig").write_bytes(signing_key.load(key, lambda: None).armored(text, namespace))
    return path
