"""`nbserver audit --run`: check a run directory, and say what was run and how far it is proven."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.plain_text import clean
from nbserver.run import chain_check, evidence_log, signed_head
from nbserver.run.chain_check import Checked
from nbserver.run.envelope import RUN_ID


def audit(run: str, runs: Path, log: Path | None, heads: Sequence[str], evidence_key: Path | None) -> Iterator[str]:
    """Yield the lines of the report. `log` is a log of runs, by default the one of this user. `evidence_key` is a public key.

    Raises ApprovalError and UsageError."""
    folder = Path(run) if Path(run).name != run else runs / run
    if not RUN_ID.fullmatch(folder.name):
        raise UsageError("run-id-invalid", '"{run}" is not a run ID', todo="A run ID is the name of a folder in nbserver-runs", run=run)
    log_file = log or evidence_log.default_path()
    entries = evidence_log.read(log_file, folder.name) if log or log_file.exists() else []
    checked = chain_check.check(folder, [entry.head for entry in entries], heads)
    _require_signed(folder, checked, evidence_key, bool(entries))
    facts = _json(folder / "run.json")
    hosts = _json(folder / "summary.json")["hosts"]
    yield f"{plain_file.shown(folder)}: {len(checked.links)} lines of the chain, and all files are as they say"
    yield f"  {facts['mode']} by {facts['operator']} with release {facts['release']}, from {facts['start']} to {facts['end']}"
    approved = facts["approved"]
    yield f"  approved: {approved['sha256']}" if approved else "  approved: nothing was required"
    for name, host in hosts.items():
        sent = [link.sha256 for link in checked.links if link.file.startswith(f"{name}/script.") and link.file != f"{name}/script.sha256"]
        was_sent = any(link.file == f"{name}/script.sha256" for link in checked.links)
        yield f"  {clean(name)}: {clean(host['outcome'])}, script {sent[-1] if sent and was_sent else 'not sent'}"
    yield f"  head of the chain: {checked.head.sha256}"
    if checked.signed:
        yield f"  line {checked.signed.n} is signed with the key {checked.signed.key.fingerprint}"
    for entry in entries:
        yield f"  {plain_file.shown(log_file)} has line {entry.head.n}, written at {clean(entry.time)}"
    if not entries and not heads and not evidence_key:
        yield "  The log of this user has no line about this run, and --head was not given: whoever can write to the directory can have written all of it"


def _require_signed(folder: Path, checked: Checked, evidence_key: Path | None, is_logged: bool) -> None:
    """Raise ApprovalError unless the key has signed the chain: up to its end, or the log has what came later."""
    if evidence_key is None:
        return
    key = signed_head.public_key(evidence_key)
    if checked.signed is None or checked.signed.key.blob != key.blob:
        raise ApprovalError(
            "run-not-signed-with-key", "the run is not signed with the key {key}", where=plain_file.shown(folder), key=key.fingerprint
        )
    if checked.signed.n < len(checked.links) and not is_logged:
        raise ApprovalError(
            "run-signed-in-part",
            "only the first {signed} of {count} lines of the chain are signed",
            where=plain_file.shown(folder),
            todo="Add the log of the user who ran nbserver with --evidence-log",
            signed=checked.signed.n,
            count=len(checked.links),
        )


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
