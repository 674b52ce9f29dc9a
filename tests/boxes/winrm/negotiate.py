"""Negotiate and NTLM as an HTTP server accepts them, and WinRM's message encryption on top ([MS-WSMV] 2.2.9.1)."""

from __future__ import annotations

import os
import re
import struct
import threading
from pathlib import Path
from typing import Any

import spnego
import spnego.channel_bindings

ENCRYPTED = "application/HTTP-SPNEGO-session-encrypted"
BOUNDARY = b"--Encrypted Boundary"
PART = b"\tContent-Type: application/octet-stream\r\n"
USER_FILE = "NTLM_USER_FILE"

# pyspnego's acceptor reads its users from the file that an environment variable names, so from one per process. Two
# endpoints have two files: the variable is set for the length of one step, and no other step runs meanwhile.
_user_file_lock = threading.Lock()


def write_user_file(path: Path, user: str, password: str) -> None:
    r"""Writes the file of accepted users; `user` may be `DOMAIN\name`. Readable by its owner only."""
    domain, _, name = user.rpartition("\\")
    path.touch(0o600)
    path.write_text(f"{domain}:{name}:{password}\n", encoding="utf-8")


class Negotiation:
    """One security context; it belongs to one TCP connection.

    `tls_binding` is the hash of the server's certificate (RFC 5929 tls-server-end-point), None without TLS.
    """

    def __init__(self, token: bytes, user_file: Path, tls_binding: bytes | None) -> None:
        self.user_file = user_file
        bindings = None
        if tls_binding is not None:
            data = b"tls-server-end-point:" + tls_binding
            bindings = spnego.channel_bindings.GssChannelBindings(application_data=data)
        raw = token.startswith(b"NTLMSSP\0")
        options = spnego.NegotiateOptions.use_ntlm if raw else spnego.NegotiateOptions.use_negotiate
        self.context: Any = self._with_users(
            lambda: spnego.server(protocol="ntlm" if raw else "negotiate", channel_bindings=bindings, options=options)
        )

    def _with_users(self, work: Any) -> Any:
        with _user_file_lock:
            before = os.environ.get(USER_FILE)
            os.environ[USER_FILE] = str(self.user_file)
            try:
                return work()
            finally:
                if before is None:
                    del os.environ[USER_FILE]
                else:
                    os.environ[USER_FILE] = before

    @property
    def complete(self) -> bool:
        return bool(self.context.complete)

    @property
    def user(self) -> str:
        return str(self.context.client_principal or "?")

    def step(self, token: bytes) -> bytes:
        """The answer to the client's token. Raises spnego.exceptions.SpnegoError for a wrong user or password."""
        return bytes(self._with_users(lambda: self.context.step(token)) or b"")

    def decrypt(self, body: bytes) -> bytes:
        """The SOAP message of a multipart/encrypted body. Raises ValueError or SpnegoError; the context is spoilt then."""
        length = re.search(rb"Length=(\d+)", body.split(BOUNDARY)[1])
        if not length:
            raise ValueError("no Length in the encrypted message")
        start = body.index(PART) + len(PART)
        data = body[start : body.rindex(BOUNDARY + b"--")]
        (size,) = struct.unpack_from("<i", data)
        plain = self.context.unwrap_winrm(data[4 : 4 + size], data[4 + size :])
        if len(plain) != int(length[1]):
            raise ValueError("the encrypted message is not as long as it says")
        return bytes(plain)

    def encrypt(self, body: bytes) -> bytes:
        head, data, padding = self.context.wrap_winrm(body)
        about = f"\tContent-Type: {ENCRYPTED}\r\n"
        original = f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(body) + padding}\r\n"
        sealed = struct.pack("<i", len(head)) + bytes(head) + bytes(data)
        parts = [b"\r\n" + about.encode() + original.encode(), b"\r\n" + PART + sealed]
        return BOUNDARY + parts[0] + BOUNDARY + parts[1] + BOUNDARY + b"--\r\n"
