"""A program of a Windows in a box whose command lines are all recorded (recorded_program.c): looking at processes can miss a short one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.boxes.windows import WindowsBox
from tests.boxes.windows_powershell import COMPILER


@contextlib.contextmanager
def recorded(host: WindowsBox, program: Path) -> Iterator[Callable[[], list[bytes]]]:
    """Returns what the command lines have been since, for a while. `program` is the path of NAME.exe on this machine."""
    record = host.path("C:\\nbserver-test") / f"{program.stem}.lines"
    record.parent.mkdir(exist_ok=True)
    real = program.with_name(f"{program.stem}-recorded.exe")
    program.rename(real)
    try:
        subprocess.run([COMPILER, "-O", "-o", program, Path(__file__).with_suffix(".c")], check=True)
        yield lambda: record.read_bytes().splitlines() if record.exists() else []
    finally:
        record.unlink(missing_ok=True)
        real.replace(program)
