"""Append what happens in a run to a file, one line per event, in addition to what is shown."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nbserver import __version__
from nbserver.base import append_file, utc
from nbserver.base.errors import UsageError
from nbserver.base.message import notice
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import warn
from nbserver.events.description import describe

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result

LONGEST_LINE = 10_000  # characters
_LINE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z +\S")


class LogFile:
    """Appends to `path`, which is created for its owner alone. The file stays open, so that a rotated log is complete, and because
    another run may follow: an undo with notebooks pulls them first.

    Raises UsageError if the file cannot be opened, is a link, or has other content. A later failure is reported once, and changes neither a run nor its result.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.is_symlink():
                raise UsageError("log-is-link", "{file} is a link", todo="Use --log to specify the file that the link points to", file=path)
            self._file = append_file.opened(path, follows_links=False)
            if not _is_log(path, self._file):
                self._file.close()
                raise UsageError(
                    "log-is-other-file",
                    "{file} exists, and it is not an nbserver log",
                    todo="Choose another file with --log, or remove this file",
                    file=path,
                )
        except OSError as error:
            raise UsageError(
                "log-not-opened",
                "could not open the log file {file} ({reason})",
                todo="Make sure that its folder exists and is writable, or choose another file with --log",
                file=path,
                reason=error.strerror or type(error).__name__,
            ) from None
        self._failed = False

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._note(f"nbserver {__version__} {'plan' if mode == 'test' else mode}, {len(steps)} {'host' if len(steps) == 1 else 'hosts'}")

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        self._write(event.time, host, f"{event.step or '-':<12} {event.event:<10} {describe(event)}")

    def host_ended(self, result: Result) -> None:
        self._note(f"{'-':<12} {result.outcome:<10} {result.error or ''}", result.host)

    def interrupted(self) -> None:
        self._note("interrupted: hosts are undoing temporary changes")

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        counts = Counter(result.outcome for result in results.values())
        self._note(f"{', '.join(f'{count} {outcome}' for outcome, count in counts.items())}. The run is in {folder}")

    def _note(self, text: str, host: str = "-") -> None:
        self._write(utc.text(utc.now()), host, text)

    def _write(self, time: str, host: str, text: str) -> None:
        if self._failed:
            return
        try:
            self._file.write(f"{time:<28}  {host:<16}  {clean(text, LONGEST_LINE).rstrip()}\n".encode())
            self._file.flush()
        except (OSError, ValueError) as error:
            self._failed = True
            reason = getattr(error, "strerror", None) or type(error).__name__
            warn(
                notice(
                    "log-not-written",
                    "could not write to the log file {file} ({reason}); the run continues",
                    file=self._path,
                    reason=reason,
                )
            )


def _is_log(path: Path, file: BinaryIO) -> bool:
    """Return whether a file is empty, or begins with a line of such a log: it could be the inventory. Raises OSError.

    What is not a file, such as a FIFO, is not read.
    """
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return True
    with path.open("rb") as same:
        return os.path.samestat(os.fstat(same.fileno()), found) and _LINE.match(same.read(100)) is not None
