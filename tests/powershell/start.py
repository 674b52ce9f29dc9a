"""Starts a PowerShell and makes sure that it has begun: the first line that it writes is `ready`.

What dies or stays silent before that line has done nothing, so another one is started. After it nothing is repeated.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.boxes.marked_process import kill_marked, marked

ATTEMPTS = 3
SECONDS_TO_BEGIN = 120  # on a machine that is busy with eight others it takes ten
LAST_WORDS = 2000  # bytes of its standard error that a failure shows


class EngineEnded(AssertionError):
    """An engine that ended, or stays silent: what is known of its end."""


class Started:
    """A program with pipes, whose standard error is kept."""

    def __init__(self, arguments: Sequence[str], variables: dict[str, str]) -> None:
        own, self._mark = marked(variables)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=own, text=True, encoding="ascii"
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout

    @contextmanager
    def killed_after(self, seconds: float) -> Iterator[None]:
        """Whoever waits for its output inside is not kept longer than that."""
        watchdog = threading.Timer(seconds, self.kill)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def ended(self, line: str) -> EngineEnded:
        """What there is to say when `line` came in place of an answer."""
        self.kill()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - LAST_WORDS))
        said = self._errors.read().decode("utf-8", "replace").strip()
        return EngineEnded(
            f"the engine ended (exit code {self.process.wait()}), was silent for too long, or wrote what is no answer: {line!r}; {said}"
        )

    def kill(self) -> None:
        """Ends it and what it started: under Wine more than one process."""
        self.process.kill()
        if os.name != "nt":
            kill_marked(self._mark)

    def close(self) -> None:
        """Ends it: an engine ends by itself where its input ends."""
        try:
            self.input.close()
            self.process.wait(20)
        except (subprocess.TimeoutExpired, OSError):  # BrokenPipeError: it has ended before it read all
            self.kill()
            self.process.wait()
        self.output.close()
        self._errors.close()


def begun(arguments: Sequence[str], variables: dict[str, str], seconds: float = SECONDS_TO_BEGIN) -> Started:
    """A program that has written its first line, `ready`. Raises EngineEnded when none of three attempts did."""
    for attempt in range(1, ATTEMPTS + 1):
        engine = Started(arguments, variables)
        with engine.killed_after(seconds):
            line = engine.output.readline()
        if line == "ready\n":
            return engine
        error = engine.ended(line)
        engine.close()
        if attempt == ATTEMPTS or line:
            raise error
    raise AssertionError("no attempt was made")
