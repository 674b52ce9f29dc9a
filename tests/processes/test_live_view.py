"""The live view on a terminal of 40, 80, and 140 columns, on a dumb one, and on one that lacks characters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, PYTHON_PATH
from tests.processes.watching import MIDDLE

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
_PART = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\x1b\]2;[^\x07]*\x07|(.)", re.DOTALL)


def watch(hosts: int, columns: int, **environment: str) -> bytes:
    """What a process writes to a terminal of that width and 24 lines."""
    import fcntl
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    given |= {"PYTHONPATH": PYTHON_PATH, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, "-m", "tests.processes.watching", str(hosts)]
    with subprocess.Popen(command, cwd=CHECKOUT, env=given, stdin=inner, stdout=inner, stderr=inner):
        os.close(inner)
        found = b""
        try:
            while data := os.read(outer, 65536):
                found += data
        except OSError:  # the process has ended
            pass
        os.close(outer)
    return found


def screen(data: bytes, columns: int) -> list[str]:
    """The lines that a terminal shows, and those that have left it at the top."""
    lines, row, column = [""], 0, 0
    for found in _PART.finditer(data.decode("utf-8", "replace")):
        number, command, character = found.groups()
        if command == "A":
            row = max(0, row - int(number or 1))
        elif command == "K":
            lines[row] = ""
        elif character == "\r":
            column = 0
        elif character == "\n" or (character and column >= columns):
            row, column = row + 1, 0 if character != "\n" else column
            lines += [""] * (row + 1 - len(lines))
        if character and character not in "\r\n":
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_active_hosts_and_counters_below_failures(columns: int, tmp_path: Path) -> None:
    data = watch(30, columns)
    middle = screen(data.partition(MIDDLE)[0], columns)
    active = [line for line in middle if re.match(r"web\d{3} .*(connecting|python|packages|certificate) +\d+:\d\d", line)]
    assert [line[:6] for line in active] == [f"web{number:03}" for number in range(16, 23)], "those that have begun, and no others"
    assert all(len(line) <= columns for line in active)
    counters = middle[-1] or middle[-2]
    assert counters.startswith("15/30 done, 4 failed" if columns == 40 else "15 of 30 done, 1 failed, 3 unreachable") and "left" in counters
    assert ("\u2501" in active[1]) == (columns >= 60) and ("[red]numpy[/red]" in active[2]) == (columns >= 80)
    above = " ".join(middle[: middle.index(active[0])])
    assert "no space" in above and above.count("unreachable") == 3
    after = screen(data, columns)
    assert not [line for line in after if "connecting" in line or "left" in line], "only what should stay is still shown"
    text = " ".join(" ".join(after).split())
    assert "30 hosts: 26 ok, 3 unreachable, 1 failed" in text and text.count("refused the") == 3 + 1
    assert "3 hosts for the same reason: web004, web" in text and "22 hosts ok up to date" in text
    assert "rich was imported" in text


def test_five_hundred_hosts_fit_the_terminal() -> None:
    data = watch(500, 80)
    last = data.partition(MIDDLE)[0].rpartition(b"\x1b[2K")[2].decode()
    assert last.count("\n") == 22 and "more active hosts" in last
    text = re.sub(r"\x1b\[[0-9;]*m", "", data.decode())
    assert text.count("like web004") == 50 - 3 and "50 hosts for the same reason" in text


def test_a_terminal_that_lacks_characters_gets_others() -> None:
    data = watch(8, 80, PYTHONIOENCODING="cp437")
    assert data.isascii() and b"#" in data and b"\\u" not in data


def test_a_dumb_terminal_gets_plain_lines_without_rich() -> None:
    text = watch(8, 80, TERM="dumb").decode()
    assert "\x1b[" not in re.sub(r"\x1b\[[0-9;]*m", "", text) and "rich was not imported" in text
    assert "web001  packages    unchanged" in text.replace("\r", "")
