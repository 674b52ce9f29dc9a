"""The script of a host, and what the scripts of both systems have in common.

A script is a head, which is the host's own (comments, settings, lock), and a body. The body begins at the line `# ==== body`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from nbserver.base.errors import NbserverError
from nbserver.inventory.names import is_host


@dataclass(frozen=True)
class Script:
    """What runs on one host. `text` is pure ASCII with LF line ends; the hashes are SHA-256, 64 lower-case hex digits.

    `head_sha256` is over everything above the body's first line, `body_sha256` over the rest.
    """

    host: str
    text: str
    settings: dict[str, Any]
    steps: tuple[str, ...]
    sha256: str
    body_sha256: str
    extension: str = "ps1"
    head_sha256: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.host}.{self.extension}"

    @classmethod
    def joined(cls, settings: dict[str, Any], head: str, body: str, steps: tuple[str, ...], extension: str = "ps1") -> Script:
        """The script of `head`, which is a host's own, and `body`. Raises NbserverError where they are not ASCII."""
        text = head + body
        try:
            code = text.encode("ascii")
        except UnicodeEncodeError as error:
            raise NbserverError(f"the rendered script of {settings['host']} is not ASCII at character {error.start}") from error
        sha256, head_sha256 = (hashlib.sha256(part).hexdigest() for part in (code, code[: len(head)]))
        return cls(settings["host"], text, settings, steps, sha256, body_sha256(body), extension, head_sha256)


def body_sha256(body: str) -> str:
    """The hash that a release publishes for its body: SHA-256 over its bytes."""
    return hashlib.sha256(body.encode("ascii")).hexdigest()


def host_of(settings: dict[str, Any]) -> str:
    """The host's name, which stands in comments. Raises NbserverError for one that could end a comment."""
    host = settings["host"]
    if not isinstance(host, str) or not is_host(host):
        raise NbserverError("the host of a script does not have the name of a host", todo="Correct the inventory")
    return host


KEY = re.compile(r"[a-z][a-z0-9_]*")


def require_keys(value: Any, path: str = "") -> None:
    """Raises NbserverError for a setting whose name is more than a name: a script would take it for code."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise NbserverError(f"a setting below {path or 'the top'} has a name that is not made of a-z, 0-9 and _ only")
            require_keys(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            require_keys(item, path)
