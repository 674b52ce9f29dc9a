"""`nbserver approve`: audit a rendered folder, and sign what was audited."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import audit, document, manifest
from nbserver.base import plain_file, utc
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import phrase
from nbserver.commands import approval_signing
from nbserver.run.approved import MODES

if TYPE_CHECKING:
    from nbserver.approval.reference import Reference
    from nbserver.commands.approval_signing import Signer


@dataclass(frozen=True)
class Signed:
    """A signed approval: its file and what it permits."""

    file: str
    sha256: str
    manifest_sha256: str
    by: str
    key: str
    modes: Sequence[str]
    hosts: Sequence[str]
    expires: str

    def lines(self) -> list[str]:
        """Return the lines that describe it."""
        return [
            f"{self.file}  sha256 {self.sha256}",
            phrase("manifest  sha256 {sha256}", sha256=self.manifest_sha256),
            phrase("approved by {name} with the key {key}", name=self.by, key=self.key),
            phrase("for {modes} on {hosts}, until {time}", modes=", ".join(self.modes), hosts=", ".join(self.hosts), time=self.expires),
        ]

    def as_json(self) -> dict[str, object]:
        """Return the answer for --json."""
        return {"event": "approved", **asdict(self)}


def approve(
    folder: Path,
    signer: Signer,
    reference: Reference,
    *,
    modes: Sequence[str],
    valid: timedelta,
    hosts: Sequence[str],
    reviewed: str | None = None,
) -> Signed:
    """Write a signed approval into the folder, and return what it permits.

    `reviewed` is the SHA-256 of the manifest that the approver has read about; another one is refused. Raises ApprovalError for
    that, if the folder does not pass the audit, and if the site does not allow this name to sign with this key; UsageError
    for a name, mode or host that does not exist; and SecretError if the key cannot sign.
    """
    signer.require_name()
    _require_modes(modes)
    path = folder / manifest.FILE_NAME
    data = manifest.read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    approval_signing.require_reviewed(path, digest, reviewed)
    if audit.checked(folder, reference).sha256 != digest:
        raise ApprovalError(
            "manifest-changed-meanwhile",
            "the manifest was changed during the audit",
            where=plain_file.shown(path),
            todo="Audit the folder again",
        )
    content = manifest.parse(data, path)
    chosen = _chosen(content["hosts"], hosts)
    key = signer.key()
    issued = utc.now().replace(microsecond=0)
    text = document.build(content, digest, hosts=chosen, modes=modes, by=signer.by, issued=issued, valid=valid)
    document.parse(text)
    written = approval_signing.write(folder, text, issued, key)
    return Signed(
        plain_file.shown(written),
        hashlib.sha256(text).hexdigest(),
        digest,
        signer.by,
        key.public.fingerprint,
        sorted(modes),
        chosen,
        utc.text(issued + valid),
    )


def _require_modes(modes: Sequence[str]) -> None:
    wrong = next((mode for mode in modes if mode not in MODES), None)
    if wrong is not None or len(set(modes)) < len(modes):
        raise UsageError("mode-unknown", "--modes accepts only these modes, each at most once: {modes}", modes=", ".join(MODES))


def _chosen(known: Collection[str], patterns: Sequence[str]) -> list[str]:
    """Return the hosts of the manifest that match a pattern, all without one. Raises UsageError."""
    found = set() if patterns else set(known)
    for pattern in patterns:
        matching = {host for host in known if fnmatch.fnmatchcase(host.lower(), pattern.lower())}
        if not matching:
            raise UsageError(
                "no-host-in-manifest",
                'no host in the manifest matches "{pattern}"',
                todo="Correct the pattern, or run nbserver render for this host first",
                pattern=pattern,
            )
        found |= matching
    if len(found) > document.HOSTS:
        raise UsageError(
            "approval-of-too-many-hosts",
            "an approval can cover at most {limit} hosts, but {count} are selected",
            todo="Approve and run the hosts in batches: use --hosts to select fewer hosts for each batch",
            limit=document.HOSTS,
            count=len(found),
        )
    return sorted(found)
