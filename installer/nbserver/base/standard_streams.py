"""Standard output and standard error. A command continues if one of them cannot be written, and uses the other for its results."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click

from nbserver.base import folding, terminal
from nbserver.base.errors import OutputError
from nbserver.base.message import phrase
from nbserver.base.plain_text import clean

CLOSED = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)  # the errors of a pipe without a reader
PAUSE = 1.0  # seconds between looks at a stream that takes no more


class _Undemanding(io.BufferedIOBase):
    """The bytes of a stream. After the first failure, what is written is discarded, and `failure` has the reason.

    `results` is the run directory that has what this process writes, if there is one. `text_of` returns what the reader sees of a message.
    """

    def __init__(self, stream: IO[bytes], text_of: Callable[[object], str]) -> None:
        self.text_of = text_of
        self._raw: Any = getattr(stream, "raw", stream)  # a buffer would keep what could not be written, and fail again at the exit
        self._lock = threading.Lock()
        self.failure: OSError | None = None
        self.results: Path | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        with self._lock:
            while left and self.failure is None:
                try:
                    done = self._raw.write(left)
                    if done is None:  # the stream does not block, and is full
                        select.select([], [self._raw.fileno()], [], PAUSE)
                    left = left[done or 0 :]
                except OSError as error:
                    self.failure = error
                except ValueError:  # it was closed
                    self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Do nothing: the stream belongs to Python."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return terminal.is_terminal(self._raw)


@contextmanager
def undemanding(text_of: Callable[[object], str] = str, errors: str = "backslashreplace") -> Iterator[None]:
    """Make failures to write to the standard streams harmless, and replace characters that their encoding lacks, as `errors` says.

    `text_of` returns a message or a phrase as text, in the language of the reader.
    """
    _occupy_missing()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_undemanding(stream, text_of, errors) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _undemanding(stream: Any, text_of: Callable[[object], str], errors: str) -> Any:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    with suppress(OSError, ValueError):
        stream.flush()
    return io.TextIOWrapper(_Undemanding(stream.buffer, text_of), encoding=stream.encoding, errors=errors, write_through=True)


def _occupy_missing() -> None:
    """Open a null device for each standard stream that was closed: the next file would become that stream of child processes."""
    if os.name == "posix":
        with suppress(OSError):
            while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
                pass
            os.close(descriptor)


def failure(stream: Any) -> OSError | None:
    """Return why a standard stream could not be written, or None."""
    if stream is None:
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    found: OSError | None = getattr(_buffer(stream), "failure", None)
    return found


def results_are_in(folder: Path | None) -> None:
    """Take note of the run directory, which has the results of a run even if they cannot be printed; None: no folder has them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(buffer := _buffer(stream), _Undemanding):
            buffer.results = folder


def _buffer(stream: Any) -> Any:
    return getattr(stream, "buffer", None)


def _results() -> Path | None:
    found: list[Path | None] = [getattr(_buffer(stream), "results", None) for stream in (sys.stdout, sys.stderr)]
    return next((folder for folder in found if folder), None)


def not_written() -> OutputError | None:
    """Return the error for a standard output that could not be written.

    Without a run directory, a reader that has closed a pipe has read enough.
    """
    results = _results()
    found = failure(sys.stdout) if sys.stdout is not None or results else None
    if found is None or _has_been_read(found):
        return None
    reason = found.strerror or type(found).__name__
    if results:
        return OutputError(
            "output-of-run-not-written",
            "could not write all output of the run to standard output: {reason}",
            todo="The run has finished; find its results in {folder}",
            reason=reason,
            folder=results,
        )
    return OutputError(
        "output-not-written",
        "could not write to standard output: {reason}",
        todo="Free up disk space, or redirect the output to another file",
        reason=reason,
    )


def _has_been_read(found: OSError) -> bool:
    """Return whether the reader of standard output has closed a pipe because it needs no more. A run continues without a reader."""
    return found.errno in CLOSED and not _results()


def require_written() -> None:
    """Raise OutputError if standard output could not be written, except to a pipe without a reader: for commands whose output is their result."""
    found = failure(sys.stdout)
    if (error := not_written()) and (found is None or found.errno not in CLOSED):
        raise error


def text_for_reader(said: object) -> str:
    """Return a message or a phrase as text, in the language of whoever reads the standard streams."""
    found = next((buffer for buffer in map(_buffer, (sys.stdout, sys.stderr)) if isinstance(buffer, _Undemanding)), None)
    return said if type(said) is str else found.text_of(said) if found else str(said)


def say(said: object = "", *, err: bool = False) -> bool:
    """Print a line that must not be lost, on the other stream if one cannot be written, or else on the terminal of this process.

    `said` is text, or a message or phrase. Returns whether it was written. What a pipe has no reader for is discarded, unless there is a run.
    """
    text = text_for_reader(said)
    if _written(text, err):
        return True
    found = None if err else failure(sys.stdout)
    if found is not None and _has_been_read(found):
        return False
    return _written(text, not err) or _on_terminal(text)


def warn(text: object) -> None:
    """Print a warning on standard error, on one line unless it is a terminal. It changes neither a run nor its exit code, also if nobody reads it."""
    with suppress(OSError):
        said = text_for_reader(phrase("nbserver: warning: {text}", text=clean(text_for_reader(text))))
        click.echo(folding.for_stream(said, sys.stderr), err=True)


def _written(text: str, err: bool) -> bool:
    try:
        click.echo(folding.for_stream(text, sys.stderr if err else sys.stdout), err=err)
    except (OSError, ValueError):
        return False
    return failure(sys.stderr if err else sys.stdout) is None


def _on_terminal(text: str) -> bool:
    try:
        with open("CONOUT$" if os.name == "nt" else "/dev/tty", "w", encoding="utf-8") as terminal:  # noqa: PTH123 (CONOUT$ is no path)
            terminal.write(f"{click.unstyle(text)}\n")
    except OSError:
        return False
    return True
