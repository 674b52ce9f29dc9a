"""The approvals in a rendered folder, for the person who audits it: who signed what, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbserver.approval import document, signed_approvals
from nbserver.approval.approved_folder import Signed, Wanted
from nbserver.approval.document import Approval
from nbserver.base import utc
from nbserver.base.message import Message

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


@dataclass(frozen=True)
class _AsApproved:
    """A run of what an approval itself names: all of its hosts, in any of its modes."""

    manifest: dict[str, Any]
    manifest_sha256: str

    def parse(self, data: bytes) -> Approval:
        return document.parse(data)

    def reason(self, approval: Approval, now: datetime) -> Message | None:
        return Wanted(self.manifest, self.manifest_sha256, tuple(approval.hosts), "").reason(approval, now)


def find(folder: Path, manifest: dict[str, Any], manifest_sha256: str, now: datetime) -> tuple[ListedApproval, ...]:
    """Return the approvals, the newest first. Whether a site allows the signer is for the run to decide.

    Raises ApprovalError for a file that cannot be read, or that is neither an approval nor a signature.
    """
    return tuple(_listed(*found) for found in signed_approvals.listed(folder, _AsApproved(manifest, manifest_sha256), now))


def _listed(name: str, signed: Signed | None, fault: str) -> ListedApproval:
    if signed is None:
        return ListedApproval(name, fault=fault)
    approval = signed.approval
    return ListedApproval(
        name,
        approval.by,
        signed.key.fingerprint,
        approval.modes,
        tuple(sorted(approval.hosts)),
        utc.text(approval.issued),
        utc.text(approval.expires),
        fault,
    )
