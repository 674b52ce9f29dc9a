"""Downloads on a terminal: a bar for all files, and one for each that is being downloaded. Elsewhere, a line for each file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from nbserver.base.message import phrase
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import say, text_for_reader

if TYPE_CHECKING:
    from typing import Self

    from nbserver.bundle.contents import File


class DownloadBars:
    """Draws on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=console or Console(stderr=True, highlight=False), transient=True)
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def began(self, file: File) -> None:
        with self._lock:
            self._tasks[file.path] = self._progress.add_task(file.file, total=file.size)

    def received(self, file: File, done: int, total: int | None) -> None:
        self._progress.update(self._tasks[file.path], completed=done, total=total)

    def waits(self, file: File, reason: str, seconds: float) -> None:
        self._progress.console.print(text_for_reader(_waiting(file, reason, seconds)), markup=False, soft_wrap=True)

    def ended(self, file: File, *, stored: bool) -> None:
        with self._lock:
            self._progress.remove_task(self._tasks.pop(file.path))
        if stored:
            self._progress.console.print(text_for_reader(phrase("downloaded {file}", file=file.file)), markup=False, soft_wrap=True)


class DownloadLines:
    """Writes a line to standard error for each file, and for each pause."""

    def began(self, file: File) -> None: ...

    def received(self, file: File, done: int, total: int | None) -> None: ...

    def waits(self, file: File, reason: str, seconds: float) -> None:
        say(_waiting(file, reason, seconds), err=True)

    def ended(self, file: File, *, stored: bool) -> None:
        if stored:
            say(phrase("downloaded {file}", file=file.file), err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def _waiting(file: File, reason: str, seconds: float) -> str:
    return phrase(
        "{file}: {reason}; trying again in {seconds} s", file=clean(file.file, 200), reason=clean(reason, 300), seconds=f"{seconds:g}"
    )
