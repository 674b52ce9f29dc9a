"""nbserver as a process runs it, but in this one: with the language of its arguments and of no other place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbserver.cli import program

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run nbserver as `main` does, in an empty folder. Return the exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NBSERVER_LANG", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nbserver", *arguments])
        with pytest.raises(SystemExit) as ended:
            program.main()
        return int(str(ended.value.code)), *capsys.readouterr()

    return run
