"""This machine, a Windows one, as a transport: what needs no Windows. The rest is in tests/transports/test_local_windows.py."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nbserver.base.errors import ScriptError
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.transports.local import windows as local_windows
from nbserver.transports.local.windows import LocalWindowsTransport, environment
from nbserver.transports.payload import Payload
from nbserver.transports.transport import StopRequested


def test_a_stop_before_it_begins_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command) or (_ for _ in ()).throw(OSError(2, "not here")))
    stop = threading.Event()
    stop.set()
    opened = LocalWindowsTransport(LocalWindowsHost(), stop)
    with pytest.raises(StopRequested):
        list(opened.run("'begun'", ["mode apply"]))
    assert not started
    with pytest.raises(ScriptError, match="could not start"):  # a stop is heard once: how that run ended can be asked
        list(opened.run("'after'", ["mode events"]))
    assert len(started) == 1


def test_no_variable_with_a_secret_is_passed_on() -> None:
    own = {
        "SystemRoot": "C:\\Windows",
        "NOTEBOOK_PASSWORD": "geheim",
        "PSModulePath": "x",
        "LOCALAPPDATA": "y",
        "HTTPS_PROXY": "z",
        "Pip_Index_Url": "w",
        "Path": "v",
        "PYTHONPATH": "u",
    }
    found = environment(own, "C:\\Windows")
    assert sorted(found) == ["HTTPS_PROXY", "LOCALAPPDATA", "PATH", "Pip_Index_Url", "SystemRoot"]
    assert found["PATH"] == "C:\\Windows\\System32;C:\\Windows;C:\\Windows\\System32\\Wbem;C:\\Windows\\System32\\WindowsPowerShell\\v1.0"


def test_what_was_written_behind_a_write_of_no_bytes_is_read() -> None:
    """It reads like an end, also when the process has ended by then: .NET writes no bytes to a stream before the first ones."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for data in (b"", b"an error", b"", b" and its end"):
        theirs.send(data)
    theirs.close()
    found: queue.Queue[bytes] = queue.Queue()
    with ours, ours.makefile("rb", buffering=0) as stream:
        local_windows._read(process, stream, found, threading.Event())
    assert b"".join(found.queue) == b"an error and its end"


def test_a_file_that_cannot_be_read_while_it_is_sent_is_the_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """PowerShell then gets less than was announced; what it says about that is of no use."""

    def blocks() -> Iterator[bytes]:
        yield b"1"
        raise ScriptError("delivery-unreadable", "could not read it", host="local")

    pipe, code = subprocess.PIPE, "import sys; sys.stdin.buffer.read(); sys.exit('too little')"
    start = subprocess.Popen
    monkeypatch.setattr(
        LocalWindowsTransport, "_start", lambda self: start([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe)
    )
    opened = LocalWindowsTransport(LocalWindowsHost(), threading.Event())
    with pytest.raises(ScriptError, match="could not read it"):
        list(opened.run("'begun'", ["mode deliver"], Payload(2, blocks)))
    assert "Traceback" not in capfd.readouterr().err
