"""The files of a run on the workstation: one folder per run, and in it one folder per host with the script, its hash, events, and log."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from nbserver import __version__
from nbserver.base import atomic_file
from nbserver.base.errors import JournalError, UsageError
from nbserver.base.plain_text import clean
from nbserver.events.description import describe
from nbserver.events.reader import Event
from nbserver.render.script import Script
from nbserver.run.evidence import Evidence, now

FOLDER = "nbserver-runs"
NO_EVIDENCE = Evidence()
LONGEST_NOTE = 10_000  # characters


def new_run_id(now: datetime | None = None) -> str:
    """Return a unique run ID that sorts by time, such as 20261122T101112Z-0a1b2c."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Journal:
    """The folder of one run. `mask` removes secrets from log lines. Raises UsageError if the folder cannot be written."""

    def __init__(
        self, runs: Path, run: str, mode: str, operator: str, mask: Callable[[str], str] = str, evidence: Evidence = NO_EVIDENCE
    ) -> None:
        self.run, self._mask = run, mask
        self.folder = runs / run
        try:
            self.folder.mkdir(parents=True)
            head = {"v": 1, "run": run, "mode": mode, "operator": operator, "release": __version__}
            self._head = {**head, "start": now(), "end": None, **evidence.as_json(mask)}
            self._write_head()
        except OSError as error:
            raise UsageError(
                "run-folder-not-written",
                "could not write to the run folder {folder} ({reason})",
                todo="Choose another folder with --runs",
                folder=self.folder,
                reason=error.strerror,
            ) from None

    def host(self, script: Script) -> HostJournal:
        """Return the journal of one host."""
        return HostJournal(self.folder / script.host, script, self._mask)

    def _write_head(self) -> None:
        atomic_file.write_text(self.folder / "run.json", json.dumps(self._head, indent=2) + "\n")

    def finish(self, hosts: Mapping[str, Any]) -> None:
        """Write the run's end and its summary. Raises UsageError if they cannot be written."""
        self._head["end"] = now()
        try:
            self._write_head()
            atomic_file.write_text(self.folder / "summary.json", json.dumps({"v": 1, "hosts": hosts}, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            failure = UsageError(
                "summary-not-written",
                "could not write {file} ({reason})",
                todo="Make sure that the folder is writable and its disk has free space; the run itself has finished",
                file=self.folder / "summary.json",
                reason=error.strerror,
            )
            failure.after_run = True
            raise failure from None


class HostJournal:
    """The files of one host: its script, the hash of the sent script (script.sha256), the received events (events.jsonl), and log.txt.

    Only one thread writes. Raises JournalError if a file cannot be written.
    """

    def __init__(self, folder: Path, script: Script, mask: Callable[[str], str] = str) -> None:
        self.folder, self._host, self._mask = folder, script.host, mask
        self._script_name = f"script{Path(script.file_name).suffix}"
        self._sha256 = script.sha256
        self._lock = threading.Lock()
        with self._writing():
            folder.mkdir()
            atomic_file.write_text(folder / self._script_name, script.text)
            self._events = self._open("events.jsonl")
            self._log = self._open("log.txt")

    @classmethod
    def reopened(cls, folder: Path, script: Script, mask: Callable[[str], str] = str) -> Self:
        """Return the journal of a host in an earlier run, for further events."""
        journal = cls.__new__(cls)
        journal.folder, journal._host, journal._mask = folder, script.host, mask
        journal._lock = threading.Lock()
        with journal._writing():
            journal._events, journal._log = journal._open("events.jsonl"), journal._open("log.txt")
        return journal

    def sent(self) -> None:
        """Record that the script is sent to the host."""
        with self._lock, self._writing():
            atomic_file.write_text(self.folder / "script.sha256", f"{self._sha256}  {self._script_name}\n")

    def event(self, event: Event) -> None:
        """Save an event, and a readable line in the log."""
        with self._lock, self._writing():
            self._events.write(event.line + "\n")
            self._log.write(f"{event.time}  {event.step or '-':<12} {event.event:<10} {describe(event)}".rstrip() + "\n")

    def note(self, text: str) -> None:
        """Write a log line about a problem on the workstation. Never raises: the result also contains the text."""
        with self._lock, suppress(OSError, ValueError):
            self._log.write(f"{now()}  {'-':<12} {'nbserver':<10} {clean(self._mask(text), LONGEST_NOTE)}\n")

    def close(self) -> None:
        """Close the files."""
        with self._writing():
            try:
                self._events.close()
            finally:
                self._log.close()

    def _open(self, name: str) -> TextIO:
        return (self.folder / name).open("a", encoding="utf-8", newline="\n", buffering=1)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(
                "events-not-saved",
                "could not save the host's events in {folder} ({reason})",
                host=self._host,
                todo="Make sure that the folder is writable and its disk has free space, or choose another folder with --runs; then try again",
                folder=self.folder,
                reason=error.strerror,
            ) from None
