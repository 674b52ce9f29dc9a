"""What run.json says about a run: who asked for what, with which inventory and approval. No secrets."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbserver.run import release


@dataclass(frozen=True)
class Evidence:
    """The facts of a run that are known before it begins.

    `hosts` are the names of the selected hosts, and `command` are the arguments of nbserver. `manifest` and `manifest_sha256` are
    the file of --approved and the hash of its bytes that were checked; both are empty if no approval was required. `approval` are
    the files of the approval by name, such as the manifest and its signatures.
    """

    hosts: Sequence[str] = ()
    inventory: Path | None = None
    command: Sequence[str] = ()
    manifest: Path | None = None
    manifest_sha256: str = ""
    approval: Mapping[str, bytes] = field(default_factory=dict)

    def as_json(self, mask: Callable[[str], str]) -> dict[str, Any]:
        """Return the fields of run.json. `mask` removes secrets, which no option takes but anybody can type by mistake."""
        approved = {"manifest": str(self.manifest), "sha256": self.manifest_sha256} if self.manifest else None
        return {
            "hosts": list(self.hosts),
            "inventory": {"file": str(self.inventory), "sha256": _sha256(self.inventory)} if self.inventory else None,
            "command": [mask(argument) for argument in self.command],
            "approved": approved,
            "workstation": {"name": platform.node(), "system": platform.platform()},
            "package": release.fingerprint(),
        }


def now() -> str:
    """Return the time as events have it, such as 2026-11-22T17:10:35.9526580Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def sha256(data: bytes) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(data).hexdigest()


def _sha256(path: Path) -> str | None:
    """Return the hash of a file, or None: this machine can be set up without an inventory."""
    try:
        return sha256(path.read_bytes())
    except OSError:
        return None
