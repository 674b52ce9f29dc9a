"""Whether a run is approved: the rules of the site, the manifest, and the signatures. Nothing is contacted before this is decided."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import policy
from nbserver.base import modes, utc
from nbserver.base.errors import ApprovalError, UsageError

if TYPE_CHECKING:
    from nbserver.approval.approved_folder import Signed
    from nbserver.inventory.hosts import AnyHost
    from nbserver.render.script import Script
    from nbserver.run.options import Options

# A check and a status only read, as a plan does. A certificate request and a new password are part of what apply does, and
# a new certificate is part of what rotate does. Fetching events, and comparing evidence, only reads what runs have written. Both a push and a pull
# begin with a list. A delivery is part of what apply does, and what is missing is asked before a plan and before a delivery.
_NAMES = {
    "test": "plan",
    "check": "plan",
    "status": "plan",
    "request": "apply",
    "set-password": "apply",
    "rotate-certificate": "rotate",
    "list": "",
    "missing": "",
    "deliver": "apply",
    "events": "",
    "evidence": "",
}


def name_of(mode: str) -> str:
    """Return the name of a mode in an approval, which is that of the command; it is empty if an approval for any mode will do."""
    return _NAMES.get(mode, mode)


MODES = tuple(dict.fromkeys(filter(None, map(name_of, ("test", *modes.CHANGING, *modes.READING)))))
"""What can be approved: a plan first, then what changes a host."""


@dataclass(frozen=True)
class Approved:
    """By what a run is approved: the manifest, the hash of its bytes that were checked, and the approvals that count."""

    manifest: Path
    manifest_sha256: str
    signed: tuple[Signed, ...]
    manifest_data: bytes = field(default=b"", repr=False)


def require(
    mode: modes.Mode, hosts: Sequence[AnyHost], scripts: Mapping[str, Script], options: Options, further: policy.Policy | None = None
) -> Approved | None:
    """Return by what these scripts are approved for this mode, or None if no approval is demanded. `further` are more rules.

    Raises ApprovalError and UsageError.
    """
    rules = policy.load(options.site).stricter(further or policy.Policy())
    if options.approved is None:
        _require_nothing_demanded(rules, options)
        return None
    from nbserver.approval import approved_folder, manifest, signed_approvals, target

    is_folder = os.path.isdir(options.approved)  # noqa: PTH112 (Path.is_dir raises PermissionError)
    folder = options.approved if is_folder else options.approved.parent
    path = folder / manifest.FILE_NAME if is_folder else options.approved
    data = manifest.read_bytes(path)
    content, digest = manifest.parse(data, path), approved_folder.sha256(data)
    signed: tuple[Signed, ...] = ()
    if rules.required or is_folder or options.signers or options.approvals:
        signers = (options.signers.absolute(),) if options.signers else ()
        rules = rules.stricter(policy.Policy(signers=signers, approvals=options.approvals or 1))
        manifest.require_targets(content, path)
        names = [host.name for host in hosts]
        demanded = signed_approvals.Rules(rules.allowed(), rules.approvals, utc.now())
        signed = approved_folder.require(folder, approved_folder.Wanted(content, digest, names, name_of(mode)), demanded)
    for host in hosts:
        manifest.require_approved(content, path, scripts[host.name], target.of(host))
    return Approved(path.absolute(), digest, signed, data)


def require_each(wanted: Iterable[modes.Mode], hosts: Sequence[AnyHost], options: Options) -> None:
    """Check before the first run of a command that each of its runs is approved. Raises ApprovalError and UsageError."""
    from nbserver.render import render

    scripts = {script.host: script for script, _ in render.render_all(hosts)} if options.approved else {}
    for mode in wanted:
        require(mode, hosts, scripts, options)


def _require_nothing_demanded(rules: policy.Policy, options: Options) -> None:
    if rules.required:
        raise ApprovalError(
            "approval-required",
            "this site file requires an approval for every run",
            where=rules.where,
            todo="Add --approved FOLDER, where FOLDER contains the rendered scripts and their approvals",
        )
    if options.signers or options.approvals:
        raise UsageError(
            "approval-options-alone",
            "--allowed-signers and --approvals require --approved",
            todo="Add --approved FOLDER, where FOLDER contains the rendered scripts and their approvals",
        )
