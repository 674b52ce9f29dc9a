"""What a terminal is. On Windows, the device NUL is not one, whatever `isatty` says: tests/transports/test_local_windows.py asks it there."""

from __future__ import annotations

import io
import sys

import pytest

from nbserver.base import terminal
from nbserver.base.standard_streams import undemanding
from nbserver.cli import init, options
from nbserver.view import choice


class Device(io.TextIOWrapper):
    """A stream that is a device."""

    def __init__(self) -> None:
        super().__init__(type("Raw", (io.BytesIO,), {"isatty": lambda self: True, "fileno": lambda self: 7})(), "utf-8")

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("system", "is_console", "expected"), [("win32", True, True), ("win32", False, False), ("linux", False, True)])
def test_a_device_of_windows_is_a_terminal_if_it_is_a_console(
    monkeypatch: pytest.MonkeyPatch, system: str, is_console: bool, expected: bool
) -> None:
    """Without a terminal, a job that needs a secret fails. With one, it would wait for an answer that never comes."""
    asked: list[int] = []
    monkeypatch.setattr(terminal.sys, "platform", system)
    monkeypatch.setattr(terminal, "_is_console", lambda descriptor: asked.append(descriptor) or is_console)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, Device())
    with undemanding():
        assert (options.asker() is not None, init._dialog() is not None, choice._can_be_drawn_on()) == (expected,) * 3
        assert [sys.stdout.isatty(), sys.stderr.isatty()] == [expected] * 2
    assert set(asked) == ({7} if system == "win32" else set())


def test_a_stream_that_is_missing_or_closed_is_none() -> None:
    closed = io.StringIO()
    closed.close()
    assert not any(map(terminal.is_terminal, (None, closed, io.StringIO())))
