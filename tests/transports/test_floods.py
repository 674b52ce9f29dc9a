"""A host that says too much: each transport lets go of it, in linear time and flat memory."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import math
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from nbserver.base.errors import ConnectError, StreamError
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.transports import answer_limits
from nbserver.transports.lines import Lines
from nbserver.transports.local.linux import LocalTransport
from nbserver.transports.local.windows import LocalWindowsTransport
from nbserver.transports.psrp.transport import PsrpTransport, _taken
from nbserver.transports.ssh.bootstrap import READY
from nbserver.transports.ssh.command import RemoteCommand
from nbserver.transports.ssh.connection import Connection
from nbserver.transports.ssh.transport import SshTransport
from nbserver.transports.winrm.transport import WinrmTransport
from nbserver.transports.wsman import answers
from nbserver.transports.wsman.answers import limit_answers
from tests.unit.run.test_host_run import HOST

PART = b"x" * 65_536
EVENT = b"{}\n" * 200
MEMORY = 12_000_000


@pytest.fixture
def flat() -> Iterator[None]:
    """The test takes no more than MEMORY."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def lines_of(lines: Lines, parts: Iterator[bytes]) -> int:
    return sum(len(lines.feed(part)) for part in parts)


# ---- lines


@pytest.mark.parametrize("size", [100, 65_536, 2_000_000])
def test_a_line_has_a_limit_however_it_comes(size: int) -> None:
    lines = Lines("win1")
    with pytest.raises(StreamError, match="win1: the host sent a line longer than 1 MB"):
        lines_of(lines, itertools.repeat(b"x" * size))
    assert len(Lines("win1").feed(b"x" * 1_000_000 + b"\n")[0]) == 1_000_000
    with pytest.raises(StreamError):
        Lines("win1").feed(b"x" * 1_000_001 + b"\n")


def test_a_stream_has_a_limit_in_lines_and_bytes(flat: None) -> None:
    with pytest.raises(StreamError, match="more than 100,000 lines"):
        lines_of(Lines("win1"), itertools.repeat(b"{}\n" * 20_000))
    with pytest.raises(StreamError, match="more than 100,000 lines"):
        lines_of(Lines("win1"), itertools.repeat(b"\n" * 20_000))
    with pytest.raises(StreamError, match="more than 20 MB in one run"):
        lines_of(Lines("win1"), itertools.repeat(b"x" * 999_000 + b"\n"))


# ---- over SSH


def ssh(monkeypatch: pytest.MonkeyPatch, first: bytes, then: bytes, error: bytes = b"") -> SshTransport:
    """A connection whose command says `first`, and then `then` for ever."""
    transport, started = object.__new__(SshTransport), RemoteCommand()
    host = SimpleNamespace(name="ubuntu1", address="192.0.2.7", port=22, user="anna", connect_timeout=600)
    vars(transport).update(_host=host, _stop=threading.Event(), _stopped=False, _sudo=False, _sudo_password=None, deadline=float("inf"))

    def start(sending: Coroutine[Any, Any, None]) -> SimpleNamespace:
        sending.close()  # there is no data to send
        return SimpleNamespace(done=lambda: False, cancel=lambda: None)

    def turn(command: RemoteCommand) -> None:
        command.data_received(then, None)
        command.data_received(error, 1)

    started.data_received(first, None)
    monkeypatch.setattr(transport, "_start", lambda line: started)
    vars(transport).update(started=started, _connection=SimpleNamespace(start=start, turn_until_news=turn))
    return transport


def test_ssh(monkeypatch: pytest.MonkeyPatch, flat: None) -> None:
    with pytest.raises(StreamError, match="ubuntu1: the host sent more than 100 kB before the script started"):
        list(ssh(monkeypatch, b"welcome", PART).run("", []))
    transport = ssh(monkeypatch, READY, PART, b"e" * 65_536)
    with pytest.raises(StreamError, match="longer than 1 MB"):
        list(transport.run("", []))
    assert len(vars(transport)["started"].stderr) == answer_limits.ERRORS_KEPT
    with pytest.raises(StreamError, match="100,000 lines"):
        for _ in ssh(monkeypatch, READY, EVENT * 50).run("", []):
            pass
    with pytest.raises(StreamError, match="more than 20 MB to standard error"):
        list(ssh(monkeypatch, READY, b"", PART).run("", []))
    late = ssh(monkeypatch, READY, b"")
    late.deadline = 0
    with pytest.raises(StreamError, match="exceeded its time limit"):
        list(late.run("", []))


# ---- over WinRM


def winrm(answer: bytes, error: bytes = b"") -> WinrmTransport:
    protocol = SimpleNamespace(
        operation_timeout_sec=60,
        run_command=lambda *given, **more: "id",
        send_command_input=lambda *given, **more: None,
        get_command_output_raw=lambda *given: (answer, error, -1, False),
    )
    transport = object.__new__(WinrmTransport)
    vars(transport).update(
        _host=HOST,
        _stop=threading.Event(),
        _stopped=False,
        _lost=False,
        _way=None,
        _protocol=protocol,
        _shell="shell",
        deadline=float("inf"),
    )
    return transport


def test_winrm(monkeypatch: pytest.MonkeyPatch, flat: None) -> None:
    with pytest.raises(StreamError, match="win1: the host sent a line longer than 1 MB"):
        list(winrm(PART, PART).run("", []))
    with pytest.raises(StreamError, match="100,000 lines"):
        for _ in winrm(EVENT * 50).run("", []):
            pass
    monkeypatch.setattr("nbserver.transports.winrm.transport.IDLE_PAUSE", 0)
    with pytest.raises(StreamError, match="more than 20 MB to standard error"):
        list(winrm(b"", PART).run("", []))
    late = winrm(b"")
    late.deadline = 0
    with pytest.raises(StreamError, match="exceeded its time limit"):
        list(late.run("", []))


DRIPPED_ENOUGH = threading.Event()
DRIPS = {
    "/body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "/chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", b"x"),
    "/headers": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "/continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path in DRIPS:
            return self.drip(*DRIPS[self.path])
        if self.path == "/elsewhere":
            self.send_response(307)
            self.send_header("Location", "/short")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        if self.path == "/gzip":
            data = gzip.compress(b"\0" * 50_000_000, 1)
            self.send_header("Content-Encoding", "gzip")
        else:
            data = b"x" * (50_000_000 if self.path == "/long" else 100_000)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def drip(self, first: bytes, then: bytes) -> None:
        self.close_connection = True
        try:
            self.wfile.write(first)
            while not DRIPPED_ENOUGH.wait(0.02):
                self.wfile.write(then)
        except OSError:
            pass

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture(scope="module")
def listener() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        DRIPPED_ENOUGH.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/long", "/gzip"])
def test_an_answer_of_a_listener_has_a_limit(listener: str, path: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        limit_answers(session, "win1", lambda: math.inf)
        assert len(session.post(f"{listener}/short", b"x").content) == 100_000
        with pytest.raises(StreamError, match="win1: the server sent a response larger than 4 MB"):
            session.post(f"{listener}{path}", b"x")


@pytest.mark.parametrize("path", DRIPS)
def test_an_answer_of_a_listener_has_its_time(listener: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_TIMEOUT", 0.3)
    with requests.Session() as session:
        session.trust_env = False
        limit_answers(session, "win1", lambda: math.inf)
        with pytest.raises(StreamError, match="win1: a response took longer than"):
            session.post(f"{listener}{path}", b"x")


def test_nothing_is_sent_elsewhere_or_too_late(listener: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        limit_answers(session, "win1", lambda: math.inf)
        with pytest.raises(ConnectError, match=r"win1: the server responded with a redirect \(HTTP status 307\)"):
            session.post(f"{listener}/elsewhere", b"secret")
    with requests.Session() as session:
        limit_answers(session, "win1", lambda: 0)
        with pytest.raises(StreamError, match="exceeded its time limit"):
            session.post(f"{listener}/short", b"x")


# ---- PSRP


def pipeline(*records: str) -> Any:
    streams = SimpleNamespace(debug=[1], information=[1], progress=[1], verbose=[1], warning=[1], error=["no"] * 50)
    return SimpleNamespace(output=list(records), streams=streams)


def test_psrp() -> None:
    allowance = answer_limits.StreamAllowance("win1")
    said = pipeline("one\ntwo", "three")
    assert list(_taken(said, allowance)) == ["one", "two", "three"]
    assert not said.output and not said.streams.verbose and len(said.streams.error) == 10
    with pytest.raises(StreamError, match="longer than 1 MB"):
        list(_taken(pipeline("x" * 1_000_001), allowance))
    with pytest.raises(StreamError, match="100,000 lines"):
        list(_taken(pipeline(*["x"] * 100_001), answer_limits.StreamAllowance("win1")))
    with pytest.raises(StreamError, match="20 MB"):
        for _ in range(1000):
            list(_taken(pipeline("x" * 999_000), allowance))


def test_psrp_takes_what_has_no_text() -> None:
    class Record:
        def __str__(self) -> Any:
            return None

    assert list(_taken(pipeline(Record()), answer_limits.StreamAllowance("win1"))) == ["Record without a text"]  # type: ignore[arg-type]


def test_psrp_puts_no_message_together_for_ever() -> None:
    from pypsrp.powershell import Fragmenter

    fragmenter, transport = Fragmenter(100_000, None), object.__new__(PsrpTransport)  # type: ignore[arg-type]
    vars(transport).update(_host=HOST, _pool=SimpleNamespace(_fragmenter=fragmenter))
    fragments = itertools.count()

    def poll_invoke(timeout: int) -> None:
        number = next(fragments)
        size = 3_000_000
        fragmenter.defragment(struct.pack(">QQBI", 7, number, 1 if number == 0 else 0, size) + bytes(size))

    with pytest.raises(StreamError, match="an incomplete message"):
        for _ in range(10):
            transport._poll(SimpleNamespace(poll_invoke=poll_invoke))  # type: ignore[arg-type]
    assert next(fragments) == 3


def test_psrp_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypsrp import powershell
    from pypsrp.complex_objects import PSInvocationState

    transport = object.__new__(PsrpTransport)
    vars(transport).update(
        _host=HOST, _stop=threading.Event(), _stopped=False, _lost=False, _no_more=False, _way=None, _pool=None, deadline=0
    )
    running = SimpleNamespace(state=PSInvocationState.RUNNING, add_script=lambda text: None, begin_invoke=lambda input: None, output=[])
    monkeypatch.setattr(powershell, "PowerShell", lambda pool: running)
    with pytest.raises(StreamError, match="exceeded its time limit"):
        list(transport.run("", []))


# ---- this machine


def test_this_machine() -> None:
    def said(script: str, deadline: float = float("inf")) -> list[str]:
        transport = LocalTransport(LocalLinuxHost(), threading.Event())
        transport.deadline = deadline
        try:
            return list(transport.run(script, []))
        finally:
            transport.close()

    with pytest.raises(StreamError, match="local: the host sent a line longer than 1 MB"):
        said("printf '%01500000d' 0\n")
    with pytest.raises(StreamError, match="exceeded its time limit"):
        said("exit 0\n", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="a Windows host is this machine there; its engine has tests of its own")
def test_this_machine_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is one of this system; what reads it is what reads PowerShell."""

    def run(code: str, deadline: float = float("inf")) -> tuple[list[str], subprocess.Popen[bytes]]:
        transport = LocalWindowsTransport(SimpleNamespace(name="local"), threading.Event())  # type: ignore[arg-type]
        transport.deadline = deadline
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        monkeypatch.setattr(transport, "_start", lambda: process)
        try:
            return list(transport.run("", [])), process
        finally:
            transport.close()
            process.wait(600)  # it goes on, and is not held up by what nobody reads any more

    lines, _ = run("import sys; sys.stdin.read(); print('x' * 100); sys.stderr.write('e' * 10**6)")
    assert lines == ["x" * 100]
    with pytest.raises(StreamError, match="local: the host sent a line longer than 1 MB"):
        run("print('x' * 20_000_000)")
    with pytest.raises(StreamError, match="exceeded its time limit"):
        run("pass", 0)


def test_what_was_cancelled_on_the_way_is_a_lost_connection() -> None:
    """asyncio's own error is no Exception: past every `except` it would cost the other hosts their results."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    connection = object.__new__(Connection)
    connection.loop = asyncio.new_event_loop()
    try:
        with pytest.raises(ConnectionAbortedError):
            connection.wait(cancelled(), 5)
        with pytest.raises(ConnectionAbortedError):
            connection.wait_unless(threading.Event(), cancelled())
    finally:
        connection.loop.close()
