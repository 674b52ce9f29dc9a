"""The approvals in a rendered folder, for the person who audits it: who signed what, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbserver.approval import document
from nbserver.approval.approved_folder import Wanted
from nbserver.approval.manifest import APPROVALS
from nbserver.approval.signed_approvals import Signed, newest_first, read
from nbserver.base import utc
from nbserver.base.plain_text import clean

MOST_NAMES = 20  # of hosts in a line


@dataclass(frozen=True)
class ListedApproval:
    """An approval. `fault` says why no run would accept it. If the signature is not good, only `file` and `fault` are set.

    `key` is the fingerprint of the key that signed; times are UTC, such as 2026-11-29T00:10:00Z.
    """

    file: str
    by: str = ""
    key: str = ""
    modes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    issued: str = ""
    expires: str = ""
    fault: str = ""

    @property
    def state(self) -> str:
        """Whether the signature holds."""
        return f"does not count: {self.fault}" if self.fault else "the signature is valid, for this manifest"

    @property
    def covers(self) -> str:
        """What it permits, or nothing."""
        hosts = ", ".join(self.hosts) if len(self.hosts) <= MOST_NAMES else f"{len(self.hosts)} hosts"
        return f"{', '.join(self.modes)} on {hosts}" if self.by else ""

    def lines(self) -> list[str]:
        """Return the lines that describe it."""
        lines = [f"    {self.file}  {self.state}"]
        if self.by:
            lines += [
                f"        by {self.by} with the key {self.key}, issued {self.issued}, expires {self.expires}",
                f"        for {self.covers}",
            ]
        return lines


def find(folder: Path, manifest: dict[str, Any], manifest_sha256: str, now: datetime) -> tuple[ListedApproval, ...]:
    """Return the approvals, the newest first. Whether a site allows the signer is for the run to decide.

    Raises ApprovalError for a file that cannot be read, or that is neither an approval nor a signature.
    """
    return tuple(_listed(folder / APPROVALS / name, manifest, manifest_sha256, now) for name in newest_first(folder))


def _listed(path: Path, manifest: dict[str, Any], manifest_sha256: str, now: datetime) -> ListedApproval:
    name = clean(path.name, 100)
    found = read(path, document.parse)
    if not isinstance(found, Signed):
        return ListedApproval(name, fault=clean(str(found), 300))
    approval = found.approval
    fault = Wanted(manifest, manifest_sha256, tuple(approval.hosts), "").reason(approval, now)
    return ListedApproval(
        name,
        approval.by,
        found.key.fingerprint,
        approval.modes,
        tuple(sorted(approval.hosts)),
        utc.text(approval.issued),
        utc.text(approval.expires),
        clean(str(fault), 300) if fault else "",
    )
