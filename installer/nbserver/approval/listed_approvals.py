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
from nbserver.base.message import Message, counted, phrase

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
        return phrase("does not count: {fault}", fault=self.fault) if self.fault else phrase("the signature is valid, for this manifest")

    @property
    def covers(self) -> str:
        """What it permits, or nothing."""
        hosts = ", ".join(self.hosts) if len(self.hosts) <= MOST_NAMES else counted("{count} host", "{count} hosts", len(self.hosts))
        return phrase("{modes} on {hosts}", modes=", ".join(self.modes), hosts=hosts) if self.by else ""

    def lines(self) -> list[str]:
        """Return the lines that describe it."""
        lines: list[str] = [phrase("    {file}  {state}", file=self.file, state=self.state)]
        if self.by:
            lines += [
                phrase(
                    "        by {name} with the key {key}, issued {issued}, expires {expires}",
                    name=self.by,
                    key=self.key,
                    issued=self.issued,
                    expires=self.expires,
                ),
                phrase("        for {covers}", covers=self.covers),
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
