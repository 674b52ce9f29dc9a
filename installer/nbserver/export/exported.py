"""An exported file, and the limit of the tool that it is for."""

from __future__ import annotations

from dataclasses import dataclass

from nbserver.base.errors import UsageError


@dataclass(frozen=True)
class Limit:
    """How many bytes a tool accepts. `what` is what has the limit, such as `Intune script`."""

    what: str
    size: int


@dataclass(frozen=True)
class Exported:
    """A file to write: its name, which may begin with one folder, and its bytes. `host` is empty for a file that several hosts share.

    `script_sha256` is the hash of the script that the file carries, or empty. If a tool limits only a part of the file, `counted` is
    the size of that part in bytes.
    """

    name: str
    data: bytes
    host: str = ""
    script_sha256: str = ""
    limit: Limit | None = None
    counted: int | None = None

    @property
    def size(self) -> int:
        """How many bytes count against the limit."""
        return len(self.data) if self.counted is None else self.counted

    def require_fit(self) -> None:
        """Raise UsageError if the file is larger than the tool accepts."""
        if self.limit and self.size > self.limit.size:
            raise UsageError(
                "export-too-large",
                "{file} is {size} bytes long, but the limit is {limit} bytes ({what})",
                where=self.host,
                todo="Use nbserver apply for this host, or export it for another tool",
                file=self.name,
                size=self.size,
                what=self.limit.what,
                limit=self.limit.size,
            )
