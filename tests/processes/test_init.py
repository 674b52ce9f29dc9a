"""`nbserver init` on a terminal: the questions of a person who has no inventory yet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nbserver.inventory.reader import load
from tests.checkout import PYTHON_PATH

pty = pytest.importorskip("pty", reason="needs a terminal of a POSIX system")


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        for one in (ours, theirs):
            with suppress(OSError):
                os.close(one)


def until(terminal: int, words: str) -> str:
    """What is on the terminal up to these words."""
    shown = b""
    while words.encode() not in shown:
        shown += os.read(terminal, 4096)
    return shown.decode()


def test_a_person_answers_and_gets_an_inventory(terminal: tuple[int, int], tmp_path: Path) -> None:
    ours, theirs = terminal
    process = subprocess.Popen(
        [sys.executable, "-m", "nbserver", "init"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        text=True,
    )
    answers = [
        ("System of the first host", "linux"),
        ("Name of the host", "db 1"),
        ("a name must have 1 to 100 characters", "db1"),
        ("Address of db1", "192.0.2.9"),
        ("User who logs in to db1", ""),
        ("System of the next host", "windows"),
        ("Name of the host", "win1"),
        ("Address of win1", ""),
        ("Administrator who logs on to win1", "WIN1\\anna"),
        ("System of the next host", ""),
        ("Connect to win1", "no"),
    ]
    for question, answer in answers:
        until(ours, question)
        os.write(ours, f"{answer}\n".encode())
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "nbserver plan db1 win1" in printed
    db1, win1 = load(tmp_path / "nbserver.toml").hosts.values()
    assert (db1.address, db1.user, win1.address, win1.user) == ("192.0.2.9", "root", "win1", "WIN1\\anna")  # type: ignore[union-attr]
