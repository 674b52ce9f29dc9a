"""An encrypted channel between the workstation and the worker that runs a host. The scheduler passes its messages on, and cannot read them.

Both ends have an X25519 key for this channel alone: the workstation's is in the ticket, and the worker's in its request, which the
worker signs with the key of its TLS certificate. So a channel has one worker at its other end, and a copy of its messages is useless.
"""

from __future__ import annotations

import hashlib
import struct
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = b"nbserver worker channel 1"


class ChannelError(Exception):
    """A message is not the next one from the other end. The text has nothing of the message."""


class Channel:
    """One end. Messages arrive in the order in which they were sealed: one that is missing, repeated, or changed is refused."""

    def __init__(self, own: X25519PrivateKey, other: bytes, about: bytes, *, is_worker: bool) -> None:
        """`other` is the public key of the other end. Both ends must have the same bytes in `about`. Raises ValueError for an invalid key."""
        shared = own.exchange(X25519PublicKey.from_public_bytes(other))
        self._about = hashlib.sha256(about).digest()
        keys = HKDF(algorithm=hashes.SHA256(), length=64, salt=self._about, info=PURPOSE).derive(shared)
        to_worker, to_workstation = ChaCha20Poly1305(keys[:32]), ChaCha20Poly1305(keys[32:])
        self._out, self._in = (to_workstation, to_worker) if is_worker else (to_worker, to_workstation)
        self._sealed = self._opened = 0
        self._lock = threading.Lock()

    def seal(self, data: bytes) -> bytes:
        """Return the next message for the other end."""
        with self._lock:
            self._sealed += 1
            return self._out.encrypt(_nonce(self._sealed), data, self._about)

    def open(self, sealed: bytes) -> bytes:
        """Return what the other end has sealed. Raises ChannelError if that is not its next message."""
        with self._lock:
            try:
                data = self._in.decrypt(_nonce(self._opened + 1), sealed, self._about)
            except InvalidTag:
                raise ChannelError(f"message {self._opened + 1} of the channel is missing, repeated, or changed") from None
            self._opened += 1
            return data


def about(*parts: bytes) -> bytes:
    """Return one text of several: each has its length in front, so that no other parts have the same."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
