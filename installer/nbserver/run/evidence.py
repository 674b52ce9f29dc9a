"""What run.json says about a run: who asked for what, with which inventory and approval. No secrets."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbserver.run import release
from nbserver.run.approved import Approved


@dataclass(frozen=True)
class Evidence:
    """The facts of a run that are known before it begins.

    `hosts` are the names of the selected hosts, and `command` are the arguments of nbserver. `approved` is empty if no
    approval was required. `inventory_sha256` is the hash of the inventory as it was read. `evidence_key` is the fingerprint
    of the key that signs the run directory at the end, or None. `hosts_from` is the name and the hash of the
    list that the inventory takes hosts from, if there is one.
    """

    hosts: Sequence[str] = ()
    inventory: Path | None = None
    command: Sequence[str] = ()
    approved: Approved | None = None
    inventory_sha256: str | None = None
    evidence_key: str | None = None
    hosts_from: tuple[str, str] | None = None

    def approval(self) -> dict[str, bytes]:
        """Return the files of the approval by name: the manifest, and the documents that counted with their signatures."""
        if self.approved is None:
            return {}
        from nbserver.approval import approved_folder, manifest

        found = {manifest.FILE_NAME: self.approved.manifest_data}
        for one in self.approved.signed:
            found |= {one.path.name: one.document, one.path.name + approved_folder.SIGNATURE: one.signature}
        return found

    def as_json(self, mask: Callable[[str], str]) -> dict[str, Any]:
        """Return the fields of run.json. `mask` removes secrets, which no option takes but anybody can type by mistake."""
        return {
            "hosts": list(self.hosts),
            "inventory": self._inventory(),
            "command": [mask(argument) for argument in self.command],
            "approved": _approved(self.approved),
            "evidence_key": self.evidence_key,
            "workstation": {"name": platform.node(), "system": platform.platform()},
            "package": release.fingerprint(),
        }

    def _inventory(self) -> dict[str, Any] | None:
        if not self.inventory:
            return None
        found: dict[str, Any] = {"file": str(self.inventory), "sha256": self.inventory_sha256}
        return found | {"hosts_from": dict(zip(("name", "sha256"), self.hosts_from, strict=True))} if self.hosts_from else found


def _approved(approved: Approved | None) -> dict[str, Any] | None:
    if approved is None:
        return None
    approvals = [
        {"file": str(one.path), "sha256": one.approval.sha256, "by": one.approval.by, "key": one.key.fingerprint} for one in approved.signed
    ]
    found = {"manifest": str(approved.manifest), "sha256": approved.manifest_sha256}
    return {**found, "approvals": approvals} if approvals else found


def now() -> str:
    """Return the time as events have it, such as 2026-11-22T17:10:35.9526580Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def sha256(data: bytes) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(data).hexdigest()
