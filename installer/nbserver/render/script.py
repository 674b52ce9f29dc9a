"""The script of a host, and what the scripts for both systems have in common.

A script consists of a head, which differs per host (comments, settings, lock), and a body. The body begins at `# ==== body`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbserver.base.errors import NbserverError
from nbserver.inventory.names import is_host
from nbserver.render.body import Body

_BRACKET = re.compile(r"^Add-Step (\w+) '[^']+' -Bracket ", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """The script for one host. `text` is ASCII with LF line endings. The hashes are SHA-256, with 64 lower-case hex digits.

    It is kept as `parts`, because hosts of a kind share the lock and the body.
    `head_sha256` covers everything before the first line of the body, and `body_sha256` the rest.
    """

    host: str
    parts: tuple[str, ...]
    settings: dict[str, Any]
    steps: tuple[str, ...]
    sha256: str
    body_sha256: str
    extension: str = "ps1"
    head_sha256: str = ""

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def code(self) -> bytes:
        """The bytes of the script."""
        return b"".join(part.encode("ascii") for part in self.parts)

    @property
    def file_name(self) -> str:
        return f"{self.host}.{self.extension}"

    @property
    def brackets(self) -> tuple[str, ...]:
        """The names of the steps whose changes are temporary, as they declare it themselves."""
        return tuple(_BRACKET.findall(self.text))

    @classmethod
    def joined(cls, settings: dict[str, Any], head: str, body: Body, extension: str = "ps1") -> Script:
        """Return the script that consists of `head` and `body`. Raises NbserverError if it is not ASCII."""
        try:
            whole = hashlib.sha256(code := head.encode("ascii"))
            whole.update(body.text.encode("ascii"))
        except UnicodeEncodeError as error:
            raise NbserverError(
                "script-not-ascii",
                "the rendered script for {name} has a non-ASCII character at offset {offset}",
                todo="Report this bug, and include this message",
                name=settings["host"],
                offset=error.start,
            ) from error
        head_sha256 = hashlib.sha256(code).hexdigest()
        own, begin, lock = head.rpartition("(\n")
        parts = (own + begin, _shared(lock), body.text)
        return cls(settings["host"], parts, settings, body.steps, whole.hexdigest(), body.sha256, extension, head_sha256)


@lru_cache(maxsize=16)
def _shared(text: str) -> str:
    """Return the same object for equal texts."""
    return text


def host_of(settings: dict[str, Any]) -> str:
    """Return the name of the host for use in comments. Raises NbserverError if it is not valid: it could end a comment."""
    host = settings["host"]
    if not isinstance(host, str) or not is_host(host):
        raise NbserverError(
            "settings-host-invalid",
            "settings.host is not a valid host name",
            todo='Rename the host in the inventory, using only letters, digits, ".", "-", and "_"',
        )
    return host


def download_source(settings: dict[str, Any]) -> str:
    """Return where files and packages come from: direct, mirror, or push."""
    return str(settings.get("downloads", {}).get("source", "direct"))


KEY = re.compile(r"[a-z][a-z0-9_]*")


def require_keys(value: Any, path: str = "") -> None:
    """Raise NbserverError if the key of a setting is not a plain name: a script could run it as code."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise NbserverError(
                    "settings-key-invalid",
                    "a key in {table} is not valid: a key must begin with a letter from a to z and contain only a to z, 0 to 9, and _",
                    table=path or "settings",
                )
            require_keys(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            require_keys(item, path)
