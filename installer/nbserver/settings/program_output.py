"""Run a program of the workstation for its output: an argument list without a shell, with limits of time and size."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from nbserver.base.message import Cause
from nbserver.base.plain_text import clean

WINDOWS = os.name == "nt"
BATCH = (".bat", ".cmd")
SECONDS = 60
SHOWN = 300  # characters of standard error in a message


class ProgramFailure(Cause):
    """Why there is no output. It contains the program's name and its cleaned standard error, never its output or its arguments."""


def run(command: Sequence[str], *, limit: int, seconds: float = SECONDS) -> bytes:
    """Return what the program writes to standard output, at most `limit` bytes. Its standard input is empty.

    Raises ProgramFailure if the program is not found, fails, writes more, or has not finished after `seconds`.
    """
    path = found(command[0])
    name, end = Path(path).stem, time.monotonic() + seconds
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(_started([path, *command[1:]]), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ProgramFailure("program-not-started", "could not start {program} ({reason})", program=name, reason=reason) from None
    assert process.stdout and process.stderr
    output, errors = _Reader(process.stdout, limit, process), _Reader(process.stderr, limit, process)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise _too_slow(name, seconds) from None
    finally:  # also after Ctrl-C
        process.kill()
        process.wait()
    output.join(max(end - time.monotonic(), 1))
    errors.join(max(end - time.monotonic(), 1) if process.returncode else 1)  # a program that it started can have it open
    if output.excess or errors.excess:
        raise ProgramFailure("program-output-too-large", "{program} wrote more than {limit} bytes", program=name, limit=limit)
    if output.is_alive():  # a program that it started has its output open
        raise _too_slow(name, seconds)
    if process.returncode:
        raise _failed(name, process.returncode, clean(bytes(errors.data).decode("utf-8", "replace"), SHOWN))
    return bytes(output.data)


def _started(command: Sequence[str]) -> Sequence[str] | str:
    """Return what starts a program. Windows runs a batch file with cmd.exe, for which & and others end an argument without quotes."""
    if not WINDOWS or Path(command[0]).suffix.lower() not in BATCH:
        return command
    return " ".join(map(_quoted, command))


def _quoted(argument: str) -> str:
    quoted = subprocess.list2cmdline([argument])
    if quoted.startswith('"'):
        return quoted
    return f'"{quoted}{quoted[len(quoted.rstrip(chr(92))) :]}"'  # the last backslashes twice: one before a quote would be part of it


class _Reader(threading.Thread):
    """Reads a stream to its end, or kills the process as soon as there is too much."""

    def __init__(self, stream: IO[bytes], limit: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._limit, self._process = stream, limit, process
        self.data, self.excess = bytearray(), False
        self.start()

    def run(self) -> None:
        with self._stream:
            while data := os.read(self._stream.fileno(), 65536):
                self.data += data
                if len(self.data) > self._limit:
                    self.excess = True
                    self._process.kill()
                    return


def _failed(name: str, code: int, said: str) -> ProgramFailure:
    if said:
        return ProgramFailure("program-failed", "{program} exited with code {code}: {output}", program=name, code=code, output=said)
    return ProgramFailure("program-failed-silently", "{program} exited with code {code} without a message", program=name, code=code)


def _too_slow(name: str, seconds: float) -> ProgramFailure:
    return ProgramFailure("program-too-slow", "{program} did not finish within {seconds} seconds", program=name, seconds=f"{seconds:g}")


def in_folder(program: str, folder: Path) -> str:
    """Return the program that an inventory in `folder` names: a path, also `./list`, is relative to it, and a name is searched for later."""
    if Path(program).name == program:
        return program
    return os.path.abspath(folder / os.path.expanduser(program))  # noqa: PTH100, PTH111 (a link stays a link; no home is no error)


def _endings(program: str) -> list[str]:
    """Return what Windows appends to the name of a program, in this order. Next to az.cmd is az, which is a script for bash."""
    known = os.environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(os.pathsep)
    is_complete = Path(program).suffix.lower() in map(str.lower, known)
    return ["", *known] if is_complete else [*known, ""]


def found(program: str) -> str:
    """Return the path of a program that an inventory names. Raises ProgramFailure if it does not exist.

    The name is not repeated: it could be a secret in the wrong place.
    """
    path = search(program)
    if path is None:
        raise ProgramFailure("program-not-found", "the program that the inventory specifies was not found on this workstation")
    return path


def search(program: str) -> str | None:
    """Return the path of a program, or None. On Windows, the current folder is not searched, as everywhere else."""
    if not WINDOWS:
        return shutil.which(program)
    endings = _endings(program)
    folders = [folder for folder in os.get_exec_path() if Path(folder).is_absolute()] if Path(program).name == program else [""]
    paths = (Path(folder, program + end) for folder in folders for end in endings)
    return next((str(path) for path in paths if path.is_file()), None)
