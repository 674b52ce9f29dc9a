"""Which packages a host gets: the tables [packages] of all kinds of hosts have these keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from nbserver.base.message import Message, message
from nbserver.settings.types import ExistingFile, Settings


class PackageChoice(Settings):
    lock: ExistingFile | None = Field(
        default=None,
        title="Your own lock, which replaces the shipped one",
        description="the path of a requirements file with hashes, relative to the inventory",
    )


def rules(packages: Any) -> list[tuple[bool, Message]]:
    """Return whether each rule between the keys of a table [packages] is violated, and the reason."""
    table = dict(packages) if isinstance(packages, (Mapping, PackageChoice)) else {}
    own = sorted(key for key in ("lock",) if table.get(key))
    return [
        (
            bool(own) and table.get("source") == "distribution",
            message(
                "lock-with-distribution", '{key} cannot be combined with source = "distribution"; remove one of them', key=", ".join(own)
            ),
        ),
    ]
