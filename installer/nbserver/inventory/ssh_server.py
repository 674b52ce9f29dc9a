"""An SSH server: a host of the inventory that is reached over SSH, or a jump host that is given as `user@address:port`."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.settings.host_name import host_name
from nbserver.settings.refusal import refuse
from nbserver.settings.secret import SecretReference

PORT = 22
_GIVEN = re.compile(r"(?P<user>.+)@(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<address>[^@:]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class SshServer:
    """A server: where it is, how nbserver logs in, and which key it may show. The names are those of a host's keys."""

    name: str
    address: str
    user: str
    port: int = PORT
    key_file: Path | None = None
    key_password: SecretReference | None = None
    agent: bool = True
    password: SecretReference | None = None
    host_key: str | None = None
    known_hosts: Path | None = None
    connect_timeout: int = 20
    keepalive: int = 15

    @property
    def text(self) -> str:
        """The server in one line, as the manifest names it, with the fingerprint of a pinned key."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        pin = f" {_fingerprint(self.host_key)}" if self.host_key else ""
        return f"{self.user}@{address}:{self.port}{pin}"


def of_text(text: str) -> SshServer:
    """Return the server of `user@address:port`. Raises a refusal. Its key must be in ~/.ssh/known_hosts, and the agent has the user's."""
    found = _GIVEN.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if not found or not 1 <= port <= 65535:
        raise refuse("jump-malformed", "must be the name of a Linux host in the inventory, or user@address:port")
    return SshServer(name=text, address=host_name(found["ipv6"] or found["address"]), user=user_name(found["user"]), port=port)


def is_server(text: str) -> bool:
    """Return whether a jump gives a server by its address. Otherwise it is the name of a host."""
    return "@" in text


def user_name(text: str) -> str:
    """Return a name that can log in over SSH, also one of a directory: `svc$`, `john smith`, `CORP+anna`.

    What OpenSSH refuses is refused (`valid_ruser` in ssh.c), and a colon, which ends the name in /etc/passwd.
    """
    if len(text) > 100 or text.startswith("-") or text.endswith("\\") or re.search(r"[\"'`;:&<>|(){}]|\s-", text):
        raise refuse("user-name-invalid", "contains a character that is not allowed in a user name")
    return text


def _fingerprint(key: str) -> str:
    if key.startswith("SHA256:"):
        return key
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def of_host(host: Any) -> SshServer:
    """Return a host of the inventory that is reached over SSH as a server: the names of the keys are the same."""
    return SshServer(**{name: getattr(host, name) for name in SshServer.__dataclass_fields__})
