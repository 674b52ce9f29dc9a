"""SSH signatures of files (SSHSIG), as `ssh-keygen -Y sign` writes them: parse, verify, and write them.

The format is in PROTOCOL.sshsig of OpenSSH, and that of keys on a security key (FIDO) in its PROTOCOL.u2f.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from nbserver.base.message import DescribedError

LIMIT = 10_000  # bytes of a signature file; one by an Ed25519 key has about 300
ED25519, SK_ED25519 = "ssh-ed25519", "sk-ssh-ed25519@openssh.com"
KEY_TYPES = f"{ED25519} or {SK_ED25519}"

_MAGIC, _VERSION = b"SSHSIG", 1
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_LINE = 70  # characters, as ssh-keygen writes them
_HASHES = ("sha512", "sha256")
_USER_PRESENT = 0x01  # the flag of a security key for a touch


@dataclass(frozen=True)
class PublicKey:
    """A public key. `blob` is its form in SSH, `point` the 32 bytes of the key, and `application` that of a security key."""

    kind: str
    blob: bytes
    point: bytes
    application: bytes = b""

    @property
    def fingerprint(self) -> str:
        """The fingerprint as `ssh-keygen -l` prints it."""
        return fingerprint(self.blob)


@dataclass(frozen=True)
class Signature:
    """A parsed signature. `raw` has 64 bytes; `flags` and `counter` are those of a security key."""

    key: PublicKey
    namespace: str
    hash_name: str
    raw: bytes
    flags: int = 0
    counter: int = 0

    def verify(self, message: bytes, namespace: str) -> None:
        """Raise ValueError unless this is the signature of `message` by `key` for this namespace."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if self.namespace != namespace:
            raise DescribedError(
                "signature-namespace", 'the signature is for a different purpose: expected the namespace "{expected}"', expected=namespace
            )
        signed = signed_data(message, namespace, self.hash_name)
        if self.key.kind == SK_ED25519:
            if not self.flags & _USER_PRESENT:
                raise DescribedError("signature-without-touch", "the security key signed without being touched")
            head = hashlib.sha256(self.key.application).digest() + bytes([self.flags]) + self.counter.to_bytes(4, "big")
            signed = head + hashlib.sha256(signed).digest()
        try:
            Ed25519PublicKey.from_public_bytes(self.key.point).verify(self.raw, signed)
        except (InvalidSignature, ValueError):
            raise DescribedError("signature-wrong", "the signature does not match the file") from None


def parse(armored: bytes) -> Signature:
    """Return the signature in an armored file. Raises ValueError for anything that `ssh-keygen -Y sign` does not write."""
    reader = _Reader(_without_armor(armored))
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise _malformed()
    if reader.number() != _VERSION:
        raise DescribedError("signature-version", "the version of the signature format is not supported; expected 1")
    key = parse_key(reader.string())
    namespace, reserved, hash_name, blob = (reader.string() for _ in range(4))
    reader.end()
    try:
        names = namespace.decode("ascii"), hash_name.decode("ascii")
    except UnicodeDecodeError:
        raise _malformed() from None
    if not namespace or reserved:
        raise _malformed()
    if names[1] not in _HASHES:
        raise DescribedError(
            "signature-hash", "the hash algorithm of the signature is not supported; expected {names}", names=" or ".join(_HASHES)
        )
    return _with_blob(key, *names, blob)


def parse_key(blob: bytes) -> PublicKey:
    """Return a public key. Raises ValueError for one of another type than KEY_TYPES."""
    reader = _Reader(blob)
    kind = reader.string()
    if kind not in (ED25519.encode(), SK_ED25519.encode()):
        raise DescribedError("key-type-unsupported", "the key type is not supported; expected {types}", types=KEY_TYPES)
    point = reader.string()
    application = reader.string() if kind == SK_ED25519.encode() else b""
    reader.end()
    if len(point) != 32:
        raise _malformed()
    return PublicKey(kind.decode("ascii"), blob, point, application)


def _with_blob(key: PublicKey, namespace: str, hash_name: str, blob: bytes) -> Signature:
    reader = _Reader(blob)
    kind, raw = reader.string(), reader.string()
    flags, counter = (reader.take(1)[0], reader.number()) if key.kind == SK_ED25519 else (0, 0)
    reader.end()
    if kind != key.kind.encode() or len(raw) != 64:
        raise _malformed()
    return Signature(key, namespace, hash_name, raw, flags, counter)


def signed_data(message: bytes, namespace: str, hash_name: str = "sha512") -> bytes:
    """Return the bytes that the key signs."""
    digest = hashlib.new(hash_name, message).digest()
    return _MAGIC + b"".join(map(_string, (namespace.encode("ascii"), b"", hash_name.encode("ascii"), digest)))


def armored(key: bytes, namespace: str, signature: bytes, hash_name: str = "sha512") -> bytes:
    """Return the file. `key` is the public key and `signature` the signature over `signed_data`, both in the form of SSH."""
    parts = (key, namespace.encode("ascii"), b"", hash_name.encode("ascii"), signature)
    text = base64.b64encode(_MAGIC + _VERSION.to_bytes(4, "big") + b"".join(map(_string, parts))).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode("ascii")


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def _without_armor(data: bytes) -> bytes:
    if len(data) > LIMIT:
        raise _malformed()
    try:
        begin, *lines, end = data.decode("ascii").replace("\r\n", "\n").removesuffix("\n").split("\n")
        if (begin, end) != (_BEGIN, _END):
            raise _malformed()
        return base64.b64decode("".join(lines), validate=True)
    except (UnicodeDecodeError, binascii.Error, ValueError):
        raise _malformed() from None


def _malformed() -> DescribedError:
    return DescribedError(
        "signature-malformed", 'the file is not a valid SSH signature; expected the format that "ssh-keygen -Y sign" writes'
    )


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


class _Reader:
    """Reads values in the encoding of SSH (RFC 4251). Raises ValueError if there are too few bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise _malformed()
        self._at += count
        return found

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise _malformed()
