"""The signed approvals of a rendered folder: DIR/approvals/ID.json with its signature ID.json.sig. Which of them count for a run?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbserver.approval import document, signed_approvals
from nbserver.approval.document import Approval
from nbserver.approval.signed_approvals import Rules, out_of_time
from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Message, message

SIGNATURE = signed_approvals.SIGNATURE
Signed = signed_approvals.Signed[Approval]


@dataclass(frozen=True)
class Wanted:
    """What a run wants to do. `mode` is empty if an approval for any mode will do."""

    manifest: Mapping[str, Any]
    manifest_sha256: str
    hosts: Collection[str]
    mode: str

    def parse(self, data: bytes) -> Approval:
        """Return the approval in a document. Raises ValueError."""
        return document.parse(data)

    def reason(self, approval: Approval, now: datetime) -> Message | None:
        """Return why an approval with a good signature does not count for this run, or None."""
        return _other_scripts(approval, self) or out_of_time(approval.issued, approval.expires, now) or _other_hosts(approval, self)


def require(folder: Path, wanted: Wanted, rules: Rules) -> tuple[Signed, ...]:
    """Return the approvals that count. Raises ApprovalError unless enough people have approved, each with a different key."""
    counted, refused = signed_approvals.judged(folder, wanted, rules)
    if not counted and not refused:
        raise ApprovalError(
            "no-approvals",
            "nobody has approved the scripts in this folder",
            where=plain_file.shown(folder),
            todo="Have them approved with nbserver approve {folder}",
            folder=plain_file.shown(folder),
        )
    if not counted:
        path, why = refused[0]
        raise ApprovalError(
            "approval-refused",
            "the approval is not valid for this run: {reason}",
            where=plain_file.shown(path),
            todo="Have the scripts approved with nbserver approve",
            reason=why,
        )
    signed_approvals.require_enough(folder, counted, rules)
    return tuple(counted)


def _other_scripts(approval: Approval, wanted: Wanted) -> Message | None:
    """Return whether the approval is for another manifest, release, or mode."""
    if approval.manifest_sha256 != wanted.manifest_sha256:
        return message(
            "approval-of-other-manifest",
            "the approval is for a different manifest: expected SHA-256 {expected}, got {actual}",
            expected=approval.manifest_sha256,
            actual=wanted.manifest_sha256,
        )
    if approval.release != wanted.manifest["release"]:
        return message(
            "approval-of-other-release",
            "the approval is for release {expected}, but the scripts are from release {actual}",
            expected=approval.release,
            actual=wanted.manifest["release"],
        )
    if wanted.mode and wanted.mode not in approval.modes:
        return message(
            "approval-of-other-mode",
            "the approval does not cover the mode {mode}, only {modes}",
            modes=", ".join(approval.modes),
            mode=wanted.mode,
        )
    return None


def _other_hosts(approval: Approval, wanted: Wanted) -> Message | None:
    """Return whether the approval lacks a host, or has another script for one."""
    for host in sorted(wanted.hosts):
        if host not in approval.hosts:
            return message("approval-without-host", "the approval does not cover the host {name}", name=host)
        if approval.hosts[host] != wanted.manifest["hosts"].get(host, {}).get("sha256"):
            return message("approval-of-other-script", "the script in the manifest for {name} is not the one that was approved", name=host)
    return None


def sha256(data: bytes) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(data).hexdigest()
