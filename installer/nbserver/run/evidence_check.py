"""Compare the runs that a host has kept with the run directories of the workstation. No side effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbserver.base.message import Described, Message, detail, notice
from nbserver.base.plain_text import clean
from nbserver.run.kept_run import KeptRun
from nbserver.run.runs_here import RunHere, RunsHere


@dataclass(frozen=True)
class EvidenceFinding:
    """What does not match about a run: `text` is one sentence with a code."""

    run: str
    text: Described

    def as_json(self) -> dict[str, Any]:
        """Return the finding for --json."""
        return {"run": self.run, "text": clean(str(self.text), 2000), **detail(self.text)}


@dataclass(frozen=True)
class Compared:
    """The result for one host: how many runs the two sides have together, which of them are still running, and what does not match."""

    host: str
    runs: int
    running: tuple[str, ...]
    findings: tuple[EvidenceFinding, ...]

    @property
    def matching(self) -> int:
        """How many runs match."""
        return self.runs - len({finding.run for finding in self.findings}) - len(self.running)

    def as_json(self) -> dict[str, Any]:
        """Return the answer for --json."""
        return {
            "event": "evidence",
            "host": self.host,
            "runs": self.runs,
            "matching": self.matching,
            "running": list(self.running),
            "findings": [finding.as_json() for finding in self.findings],
        }


def compare(host: str, kept: Iterable[KeptRun], here: RunsHere) -> Compared:
    """Return what does not match, in the order of the run IDs."""
    on_host = {run.id: run for run in kept}
    running = tuple(sorted(name for name, run in on_host.items() if run.is_running))
    names = sorted({*on_host, *here.runs, *here.unreadable})
    found = []
    for name in names:
        if name in running:
            continue
        found += [EvidenceFinding(name, text) for text in _of_run(host, name, on_host.get(name), here)]
    return Compared(host, len(names), running, tuple(found))


def _of_run(host: str, name: str, kept: KeptRun | None, here: RunsHere) -> Iterator[Described]:
    if name in here.unreadable:
        yield here.unreadable[name]
        return
    ours = here.runs.get(name)
    if kept is None and ours is not None:
        yield notice(
            "kept-run-not-on-host",
            "the run directory has events from this run ({mode}, started {time}), but the host has none",
            mode=ours.mode,
            time=ours.started,
        )
    if kept is None:
        return
    yield from _of_kept(kept)
    if ours is None:
        yield _not_here(kept)
    elif (kept.sha256, kept.size) != (ours.sha256, ours.size):
        yield _events_differ(host, kept, ours)


def _of_kept(kept: KeptRun) -> Iterator[Message]:
    """Yield what is wrong on the host alone."""
    if kept.found is None:
        yield notice("kept-events-invalid", "the host's event file for this run is damaged: its first event is not the start of a run")
    elif kept.found["run"] != kept.id:
        yield notice("kept-events-of-other-run", "the events on the host are from a different run, {other}", other=kept.found["run"])
    elif kept.script == "changed":
        yield notice(
            "kept-script-changed-on-host",
            "the host's copy of the script was changed: its SHA-256 is no longer {sha256}",
            sha256=kept.found["script_sha256"],
        )
    elif kept.script == "missing":
        yield notice(
            "kept-script-not-on-host",
            "the host has no copy of the script of this run (SHA-256 {sha256})",
            sha256=kept.found["script_sha256"],
        )


def _not_here(kept: KeptRun) -> Message:
    if kept.found is None:
        return notice("kept-run-not-here", "this workstation has no run directory for this run")
    return notice(
        "run-not-here",
        "this workstation has no run directory for this run ({mode} by {operator}, started {time})",
        mode=kept.found["mode"],
        operator=clean(kept.found["operator"], 200),
        time=kept.found["started"],
    )


def _events_differ(host: str, kept: KeptRun, ours: RunHere) -> Message:
    if kept.found is not None and kept.found["script_sha256"] != ours.script_sha256:
        return notice(
            "run-scripts-differ",
            "the host ran a different script: expected SHA-256 {expected}, got {actual}",
            expected=ours.script_sha256,
            actual=kept.found["script_sha256"],
        )
    if kept.size > ours.size:
        return notice(
            "run-events-incomplete",
            "the run directory has only {size} of {total} bytes of the events. To fetch the rest, run nbserver events {run} {name}",
            size=ours.size,
            total=kept.size,
            run=ours.folder,
            name=host,
        )
    return notice(
        "run-events-differ", "the events of this run on the host differ from those in the run directory: one of the two was changed"
    )
