"""`nbserver audit --run`: check a run directory, and say what was run and how far it is proven."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.existing import exists
from nbserver.base.message import message, phrase
from nbserver.base.plain_text import clean
from nbserver.commands.review import STANDARD_OUTPUT, require_outputs, write_file
from nbserver.run import chain_check, evidence_log, past_files, past_run, run_folder, run_id, signed_head
from nbserver.run.chain_check import Checked
from nbserver.run.evidence_log import Entry
from nbserver.settings.faults import few

NAMES = ("run", "mode", "operator", "release", "start", "end")
COMMANDS = {"test": "plan", "request": "certificate request"}  # whose name is not that of the mode
_FIND = message("find-who-changed-run", "Find out who changed the run directory or the log")


@dataclass(frozen=True)
class AuditedRun:
    """What is known about a run whose files are as its chain says. `notes` are sentences about what is not proven."""

    folder: Path
    facts: Mapping[str, str]
    hosts: Mapping[str, tuple[str, str | None]]  # the outcome, and the hash of the script that was sent
    checked: Checked
    log: Path
    entries: Sequence[Entry]
    notes: Sequence[str]

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        facts = self.facts
        count, folder = len(self.checked.links), plain_file.shown(self.folder)
        yield phrase("{folder}: {count} lines of the chain, and all files match", folder=folder, count=count)
        command = COMMANDS.get(facts["mode"], facts["mode"])
        times = {name: facts[name] for name in ("operator", "release", "start", "end")}
        yield phrase("  {command} by {operator} with release {release}, from {start} to {end}", command=command, **times)
        yield phrase("  approved: {sha256}", sha256=facts["approved"] or phrase("not required"))
        for name, (outcome, script) in self.hosts.items():
            sent = phrase("script {sha256}", sha256=script) if script else phrase("script not sent")
            yield phrase("  {name}: {outcome}, {script}", name=clean(name), outcome=phrase(outcome), script=sent)
        yield phrase("  head of the chain: {sha256}", sha256=self.checked.head.sha256)
        if self.checked.signed:
            signed = self.checked.signed
            yield phrase("  line {line} is signed with the key {key}", line=signed.n, key=signed.key.fingerprint)
        for entry in self.entries:
            log = plain_file.shown(self.log)
            yield phrase("  {file} has line {line}, written at {time}", file=log, line=entry.head.n, time=clean(entry.time))
        for note in self.notes:
            yield phrase("  {note}", note=note)

    def as_json(self) -> dict[str, object]:
        """Return the answer for --json."""
        signed = self.checked.signed
        return {
            "event": "run_audit",
            "folder": plain_file.shown(self.folder),
            **{name: self.facts[name] for name in NAMES},
            "approved": self.facts["approved"] or None,
            "lines": len(self.checked.links),
            "head": self.checked.head.sha256,
            "hosts": {clean(name): {"outcome": outcome, "script_sha256": script} for name, (outcome, script) in self.hosts.items()},
            "signed": {"line": signed.n, "key": signed.key.fingerprint} if signed else None,
            "logged": [{"line": entry.head.n, "time": clean(entry.time)} for entry in self.entries],
            "notes": list(self.notes),
        }


def report(run: str, json_file: Path | None = None, **evidence: Any) -> list[str]:
    """Audit a run directory as `audit` does, and return the lines to print. `json_file` is where the same is written as JSON."""
    require_outputs({"json": json_file}, run_folder.of(run, evidence["runs"]))
    found = audit(run, **evidence)
    if json_file is None:
        return list(found.lines())
    text = json.dumps(found.as_json())
    if json_file == STANDARD_OUTPUT:
        return [text]
    write_file(json_file, text + "\n")
    return [*found.lines(), phrase("written: {file}", file=plain_file.shown(json_file))]


def audit(run: str, runs: Path | None, log: Path | None, heads: Sequence[str], evidence_key: Path | None) -> AuditedRun:
    """Check a run directory. `runs` is where it is: see run_folder.of. `log` is a log of runs, by default the one of this user. `evidence_key` is a public key.

    Raises ApprovalError and UsageError."""
    folder = run_folder.of(run, runs)
    run_id.require(run, folder.name)
    log_file = log or evidence_log.default_path()
    entries = evidence_log.read(log_file, folder.name) if log or exists(log_file) else []
    if not entries and not os.path.lexists(folder):  # a typo, rather than evidence that is missing
        past_run.require_there(folder)
    if log and not entries:
        raise ApprovalError(
            "run-not-logged",
            "the evidence log contains no line about the run {run}",
            where=plain_file.shown(log),
            todo="{advice}",
            advice=_FIND,
            run=folder.name,
        )
    checked = chain_check.check(folder, [entry.head for entry in entries], heads)
    head = _json(folder / "run.json")
    _require_signed(folder, checked, evidence_key, bool(entries), head.get("evidence_key"))
    facts = _facts(folder, head)
    hosts = {name: (outcome, _sent(checked, name)) for name, outcome in _hosts(folder).items()}
    return AuditedRun(
        folder, facts, hosts, checked, log_file, entries, [*_resumed(folder), *_notes(checked, bool(entries), heads, evidence_key)]
    )


def _sent(checked: Checked, host: str) -> str | None:
    """Return the hash of the script that was sent to a host, or None."""
    if not any(link.file == f"{host}/script.sha256" for link in checked.links):
        return None
    scripts = [link for link in checked.links if link.file.startswith(f"{host}/script.") and link.file != f"{host}/script.sha256"]
    return scripts[-1].sha256 if scripts else None


def _notes(checked: Checked, is_logged: bool, heads: Sequence[str], evidence_key: Path | None) -> list[str]:
    if is_logged or evidence_key:
        return []
    proven = max((checked.hashes.index(head) + 1 for head in heads), default=0)
    if not heads:
        return [
            phrase(
                "The log of this user has no line about this run, and --head was not given: "
                "whoever can write to the directory can have written all of it"
            )
        ]
    if 0 < proven < len(checked.links):
        return [
            phrase(
                "Only the first {count} lines are proven by --head: whoever can write to the directory can have written the others",
                count=proven,
            )
        ]
    return []


def _require_signed(folder: Path, checked: Checked, evidence_key: Path | None, is_logged: bool, intended: object) -> None:
    """Raise ApprovalError unless the key has signed the chain: up to its end, or the log has what came later.

    `intended` is the fingerprint in run.json of the key that was to sign it.
    """
    if checked.signed is None and isinstance(intended, str):
        raise ApprovalError(
            "run-signature-missing",
            "the run was started with --evidence-key (key {key}), but its signature {file} is missing",
            where=plain_file.shown(folder),
            todo="{advice}",
            advice=_FIND,
            file=signed_head.SIGNATURE,
            key=clean(intended, 100),
        )
    if evidence_key is None:
        return
    key = signed_head.public_key(evidence_key)
    if checked.signed is None or checked.signed.key.blob != key.blob:
        raise ApprovalError(
            "run-not-signed-with-key",
            "the run is not signed with the key {key}",
            where=plain_file.shown(folder),
            todo="Specify the public key of the person who signed the run with --evidence-key. If the run should be signed with this key, find out why it is not",
            key=key.fingerprint,
        )
    if checked.signed.n < len(checked.links) and not is_logged:
        raise ApprovalError(
            "run-signed-in-part",
            "only the first {signed} of {count} lines of chain.jsonl are signed",
            where=plain_file.shown(folder),
            todo="Use --evidence-log to specify the log of the user who ran nbserver",
            signed=checked.signed.n,
            count=len(checked.links),
        )


def _facts(folder: Path, value: dict[str, Any]) -> dict[str, str]:
    """Return the texts of run.json, cleaned. Raises ApprovalError if it is not of this run, or not as nbserver writes it."""
    approved = value.get("approved")
    texts = [
        *(value.get(name) for name in NAMES),
        "" if approved is None else approved.get("sha256") if isinstance(approved, dict) else None,
    ]
    if not all(isinstance(text, str) for text in texts):
        raise _not_as_written(folder / "run.json")
    found = {name: clean(str(text), 200) for name, text in zip((*NAMES, "approved"), texts, strict=True)}
    if found["run"] != folder.name:
        raise ApprovalError(
            "run-of-other-id",
            "the directory belongs to the run {found}, not {run}",
            where=plain_file.shown(folder),
            todo="{advice}",
            advice=_FIND,
            found=found["run"],
            run=folder.name,
        )
    return found


def _hosts(folder: Path) -> dict[str, str]:
    """Return the outcome of each host in the newest summary. Raises ApprovalError if it is not as nbserver writes it."""
    return {name: clean(host["outcome"], 200) for name, host in (past_files.summary(folder) or {}).items()}


def _resumed(folder: Path) -> list[str]:
    """Return a note about each time that the run was resumed."""
    notes = []
    for number in past_files.numbers(folder, "resumed"):
        value = past_files.read_json(folder / f"resumed-{number}.json")
        by, start = (clean(str(value.get(name)), 200) for name in ("operator", "start"))
        adopted = value.get("adopted")
        files = few([str(file) for file in adopted]) if isinstance(adopted, list) else adopted
        notes.append(
            phrase(
                "Resumed by {name} at {time}. What these files contained before is in no earlier line of chain.jsonl: {files}",
                name=by,
                time=start,
                files=clean(str(files), 500),
            )
            if files
            else phrase("Resumed by {name} at {time}", name=by, time=start)
        )
    return notes


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())  # seconds are not whole numbers
    except (ValueError, RecursionError):
        raise _not_as_written(path) from None
    if not isinstance(value, dict):
        raise _not_as_written(path)
    return value


def _not_as_written(path: Path) -> ApprovalError:
    return ApprovalError(
        "run-file-invalid",
        "the file is not in the format that nbserver writes",
        where=plain_file.shown(path),
        todo="{advice}",
        advice=_FIND,
    )
