"""The files of a run on the workstation: one folder per run, and in it one folder per host with the script, its hash, events, and log.

Each file is added to the chain of the run when it is complete: see nbserver.run.chain.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from nbserver import __version__
from nbserver.base import atomic_file, plain_file
from nbserver.base.errors import ApprovalError, JournalError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.base.plain_text import clean
from nbserver.events.description import describe
from nbserver.events.reader import Event
from nbserver.render.script import Script
from nbserver.run import past_files
from nbserver.run.chain import Chain, Head, Written
from nbserver.run.evidence import Evidence, now
from nbserver.run.growing_file import GrowingFile
from nbserver.run.intent import FILE as INTENT
from nbserver.run.intent import Intent
from nbserver.settings import write_access

FOLDER = "nbserver-runs"
FOLDER_MODE, FILE_MODE = 0o700, 0o600  # a run is evidence, and nobody else's business
NO_EVIDENCE = Evidence()
LONGEST_NOTE = 10_000  # characters


def new_run_id(now: datetime | None = None) -> str:
    """Return a unique run ID that sorts by time, such as 20261122T101112Z-0a1b2c."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Journal:
    """The folder of one run. `mask` removes secrets from log lines. Raises UsageError if the folder cannot be written,
    and ApprovalError if others could replace it.
    """

    def __init__(
        self, runs: Path, run: str, mode: str, operator: str, mask: Callable[[str], str] = str, evidence: Evidence = NO_EVIDENCE
    ) -> None:
        self.run, self._mask = run, mask
        self.folder = runs / run
        self.chain = Chain(self.folder)
        self._scripts: dict[str, Written] = {}
        self._number = 0  # 1 if the run is continued for the first time
        with _creating(self.folder):
            if not exists(runs):
                runs.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            _require_own(runs)
            self.folder.mkdir(FOLDER_MODE)
            head = {"v": 1, "run": run, "mode": mode, "operator": operator, "release": __version__}
            self._head = {**head, "start": now(), "end": None, **evidence.as_json(mask)}
            self.head = self.chain.add(now(), self._write_head(), *self._approval(evidence.approval()))

    def intend(self, intent: Intent, scripts: Collection[Script]) -> None:
        """Write the scripts of all hosts, byte for byte, and then what is about to be done. No host has been contacted yet.

        Raises UsageError if they cannot be written.
        """
        with _creating(self.folder):
            for script in scripts:
                (self.folder / script.host).mkdir(FOLDER_MODE)
                self._scripts[script.host] = _write_script(self.folder / script.host, script)
            self.head = self.chain.add(now(), *self._scripts.values(), _write(self.folder / INTENT, intent.as_bytes()))

    @classmethod
    def resumed(
        cls, folder: Path, number: int, operator: str, mask: Callable[[str], str], evidence: Evidence, adopted: Sequence[str] = ()
    ) -> Self:
        """Return the journal of a run that stopped, after `number` - 1 earlier attempts to continue it.

        `adopted` are the files that were added to the chain as they were: see nbserver.run.adopted.

        Raises UsageError if the folder cannot be written, and ApprovalError if run.json is not as nbserver writes it.
        """
        journal = cls.__new__(cls)
        journal.run, journal._mask, journal.folder, journal.chain = folder.name, mask, folder, Chain(folder)
        journal._scripts, journal._number = {}, number
        with _creating(folder):
            journal._head = past_files.head(folder)
            head = {"v": 1, "run": folder.name, "resumed": number, "operator": operator, "release": __version__, "start": now()}
            head |= {**evidence.as_json(mask), "adopted": list(adopted)}
            written = _write(folder / f"resumed-{number}.json", _json(head))
            journal.head = journal.chain.add(now(), written, *journal._approval(evidence.approval(), f"approval-{number}"))
        return journal

    def host(self, script: Script) -> HostJournal:
        """Return the journal of one host."""
        if self._number:
            return HostJournal.reopened(self.folder / script.host, script, self._mask, self.chain)
        return HostJournal(self.folder / script.host, script, self._mask, self.chain, self._scripts.get(script.host))

    def _approval(self, files: Mapping[str, bytes], name: str = "approval") -> list[Written]:
        folder = self.folder / name
        if files:
            folder.mkdir(FOLDER_MODE)
        return [_write(folder / name, data) for name, data in files.items()]

    def _write_head(self) -> Written:
        return _write(self.folder / "run.json", _json(self._head))

    def finish(self, hosts: Mapping[str, Any]) -> None:
        """Write the run's end and its summary. Raises UsageError if they cannot be written."""
        data = (json.dumps({"v": past_files.SUMMARY_VERSION, "hosts": hosts}, indent=2, sort_keys=True) + "\n").encode("ascii")
        try:
            written = [_write(self.folder / f"summary-{self._number}.json", data)] if self._number else []
            if not exists(self.folder / "summary.json"):
                if self._head["end"] is None:  # otherwise an earlier process was killed after it had written the end
                    self._head["end"] = now()
                    written.append(self._write_head())
                written.append(_write(self.folder / "summary.json", data))
            self.head = self.chain.add(now(), *written)
        except OSError as error:
            failure = UsageError(
                "summary-not-written",
                "could not write {file} ({reason})",
                todo="The run has finished. Before the next run, make sure that the folder is writable and that its disk has free space",
                file=self.folder / "summary.json",
                reason=error.strerror,
            )
            failure.after_run = True
            raise failure from None


class HostJournal:
    """The files of one host: its script, the hash of the sent script (script.sha256), the received events (events.jsonl), and log.txt.

    Only one thread writes. Raises JournalError if a file cannot be written.
    """

    def __init__(self, folder: Path, script: Script, mask: Callable[[str], str], chain: Chain, kept: Written | None = None) -> None:
        """Create the files. `kept` is the script if it was written before, and is in the chain."""
        self.folder, self._host, self._mask, self.chain = folder, script.host, mask, chain
        self._envelopes = 0
        self._sha256 = script.sha256
        self._lock = threading.Lock()
        with self._writing():
            if kept is None:
                folder.mkdir(FOLDER_MODE)
            self._script = kept or _write_script(folder, script)
            self._unsent = [] if kept else [self._script]
            self._events, self._log = GrowingFile(folder / "events.jsonl"), GrowingFile(folder / "log.txt")

    @classmethod
    def reopened(cls, folder: Path, script: Script, mask: Callable[[str], str] = str, chain: Chain | None = None) -> Self:
        """Return the journal of a host in an earlier run, for further events and envelopes.

        Raises ApprovalError if a file is not as the chain says: what is added would make it look unchanged.
        """
        journal = cls.__new__(cls)
        journal.folder, journal._host, journal._mask, journal.chain = folder, script.host, mask, chain or Chain(folder.parent)
        journal._lock, journal._unsent, journal._sha256 = threading.Lock(), [], script.sha256
        with journal._writing():
            folder.mkdir(FOLDER_MODE, exist_ok=True)
            journal._envelopes = len(past_files.envelopes(folder))
            path = folder / f"script{Path(script.file_name).suffix}"
            journal._script = Written.of(path, script.text.encode("ascii"))
            if chain and not exists(path):  # a copy of a run directory may lack it
                _write_script(folder, script)
            journal._events, journal._log = (GrowingFile.continued(folder / name, journal.chain) for name in ("events.jsonl", "log.txt"))
        return journal

    def sent(self, envelope: Sequence[str] = ()) -> Head:
        """Record that the script is sent to the host, with this envelope, and return the head of the chain, which covers both.

        A run sends more than one envelope if Windows restarts, or if a script did not begin: envelope.txt, envelope-2.txt, ...
        """
        with self._lock, self._writing():
            self._envelopes += 1
            unsent, self._unsent = self._unsent, []
            hashed = _write(self.folder / "script.sha256", f"{self._sha256}  {self._script.path.name}\n".encode("ascii"))
            name = "envelope.txt" if self._envelopes == 1 else f"envelope-{self._envelopes}.txt"
            sent = _write(self.folder / name, "".join(f"{line}\n" for line in envelope).encode("utf-8"))
            return self.chain.add(now(), *unsent, hashed, sent)

    def event(self, event: Event) -> None:
        """Save an event, and a readable line in the log."""
        with self._lock, self._writing():
            self._events.write(event.line + "\n")
            self._log.write(f"{event.time}  {event.step or '-':<12} {event.event:<10} {describe(event)}".rstrip() + "\n")

    def note(self, text: str, time: str = "") -> None:
        """Write a log line about a problem on the workstation. Never raises: the result also contains the text."""
        with self._lock, suppress(OSError, ValueError):
            self._log.write(f"{time or now()}  {'-':<12} {'nbserver':<10} {clean(self._mask(text), LONGEST_NOTE)}\n")

    def close(self) -> None:
        """Close the files, and add them to the chain. A script that was not sent is added, too."""
        with self._writing():
            try:
                self._events.close()
            finally:
                self._log.close()
            if self.chain.exists():
                written = filter(None, (self._events.written(), self._log.written()))
                self.chain.add(now(), *self._unsent, *written)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(
                "events-not-saved",
                "could not save the host's events in {folder} ({reason})",
                host=self._host,
                todo="Make sure that the folder is writable and that its disk has free space, or choose another folder with --runs. Then run the command again",
                folder=self.folder,
                reason=error.strerror,
            ) from None


@contextmanager
def _creating(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            "run-folder-not-written",
            "could not write to the run directory {folder} ({reason})",
            todo="Choose another folder with --runs",
            folder=folder,
            reason=error.strerror,
        ) from None


def _require_own(runs: Path) -> None:
    who = write_access.others_of_runs(runs)
    if who:
        raise ApprovalError(
            "run-file-writable",
            "{who} can write to this path or to the folder that contains it",
            where=plain_file.shown(runs),
            todo="{advice}",
            advice=message("other-runs-folder", "Choose another folder with --runs"),
            who=who,
        )


def _write_script(folder: Path, script: Script) -> Written:
    return _write(folder / f"script{Path(script.file_name).suffix}", script.code)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("ascii")


def _write(path: Path, data: bytes) -> Written:
    atomic_file.write_bytes(path, data, mode=FILE_MODE)
    return Written.of(path, data)
