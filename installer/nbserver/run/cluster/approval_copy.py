"""The approval of a run, for a worker, which checks it once more: by the rules of the workstation and by those on the worker."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import policy
from nbserver.base.errors import ApprovalError
from nbserver.run import approved as approval
from nbserver.run.options import Options

if TYPE_CHECKING:
    from nbserver.run.approved import Approved
    from nbserver.run.host_call import HostCall

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ApprovalCopy:
    """By what a run is approved. `files` are those of the rendered folder, and `signers` files of allowed signers.

    Without `files`, no approval was given. With `is_signed`, signatures are required.
    """

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    signers: tuple[bytes, ...] = field(default=(), repr=False)
    approvals: int = 1
    is_signed: bool = False

    def require(self, call: HostCall) -> None:
        """Raise ApprovalError unless the script of a call is approved, also by the rules of this machine."""
        job = call.job
        actual = hashlib.sha256(job.script.code).hexdigest()
        if actual != job.script.sha256:
            raise ApprovalError(
                "worker-got-other-script",
                "the worker received a script with SHA-256 {actual}, but nbserver sent one with SHA-256 {expected}",
                where=job.host.name,
                todo="Run the command again",
                actual=actual,
                expected=job.script.sha256,
            )
        with tempfile.TemporaryDirectory(prefix="nbserver-approval-") as name:
            folder = Path(name)
            options, further = self._written_to(folder)
            approval.require(call.mode, [job.host], {job.host.name: job.script}, options, further)

    def _written_to(self, folder: Path) -> tuple[Options, policy.Policy]:
        if not self.files:
            return Options(), policy.Policy()
        for name, data in self.files.items():
            (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
            (folder / name).write_bytes(data)
        signers = tuple(folder / f"allowed_signers-{number}" for number in range(len(self.signers)))
        for path, data in zip(signers, self.signers, strict=True):
            path.write_bytes(data)
            path.chmod(0o600)
        approved = folder if self.is_signed else folder / MANIFEST
        return Options(approved=approved), policy.Policy(self.is_signed, signers, self.approvals)


def copy_of(approved: Approved | None, options: Options) -> ApprovalCopy:
    """Return the approval that a run has on the workstation. Raises ApprovalError if a file cannot be read any more."""
    if approved is None:
        return ApprovalCopy()
    from nbserver.approval import approved_folder

    rules = policy.load(options.site)
    paths = dict.fromkeys((*rules.signers, *((options.signers.absolute(),) if options.signers else ())))
    files = {MANIFEST: approved.manifest_data}
    for one in approved.signed:
        name = f"approvals/{one.path.name}"
        files |= {name: one.document, name + approved_folder.SIGNATURE: one.signature}
    signers = tuple(_read(path) for path in paths)
    return ApprovalCopy(files, signers, max(rules.approvals, options.approvals or 1), bool(approved.signed))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApprovalError(
            "signers-unreadable",
            "could not read the allowed signers file ({reason})",
            todo="Check that the file exists and that you can read it",
            where=str(path),
            reason=error.strerror,
        ) from None
