"""transport = "ssh" for a Windows host: an SSH server that behaves as that of Windows, in front of PowerShell."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, HostKeyError, ScriptError, StreamError
from nbserver.inventory.ssh_server import SshServer
from nbserver.inventory.windows_host import WindowsHost
from nbserver.transports.connect import connect_to
from nbserver.transports.payload import Payload
from nbserver.transports.ssh_windows.transport import SshWindowsTransport
from nbserver.transports.transport import LogonSecrets, StopRequested
from tests.boxes import windows_powershell
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_powershell import powershell_on
from tests.boxes.windows_ssh import WindowsSshd
from tests.boxes.winrm.endpoint import session_configuration
from tests.ssh_agent import add, agent_with
from tests.waiting import wait_until

PASSWORD = "Canary-Windows-Tr0ub4dor"
USER = "EXAMPLE\\anna"
ENVELOPE = ["mode test"]
SECRET = "Canary-Envelope-\u96ea"
ECHO = "@($input) | ForEach-Object { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($_)) }; exit 3010\n"
# Says that it runs, and waits until it may go on. `finally` runs also if it is stopped.
WAITS = """\
'{"line": 1}'
try { while (-not (Test-Path C:\\go.txt)) { [Threading.Thread]::Sleep(20) } } finally { [IO.File]::WriteAllText('C:\\finally.txt', 'done') }
'{"line": 2}'
"""


@pytest.fixture(scope="module")
def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="module")
def server(windows_host: WindowsBox, key: asyncssh.SSHKey) -> Iterator[WindowsSshd]:
    if words := windows_powershell.missing():
        pytest.skip(words)
    authorized = [key.convert_to_public()]
    with powershell_on(windows_host), WindowsSshd(windows_host, user=USER, password=PASSWORD, authorized=authorized) as made:
        yield made


@pytest.fixture(autouse=True)
def usual(server: WindowsSshd, windows_host: WindowsBox) -> Iterator[None]:
    server.shell, server.greeting, server.max_sessions = "cmd", b"", 10
    yield
    for name in ("go.txt", "finally.txt"):
        (windows_host.path("C:\\") / name).unlink(missing_ok=True)


def host_of(server: WindowsSshd, **settings: Any) -> WindowsHost:
    least = {"name": "win1", "system": "windows", "transport": "ssh", "address": "127.0.0.1", "user": USER, "agent": False}
    least |= {"password": {"env": "UNUSED"}, "notebook": {"password": {"env": "UNUSED"}}}
    return WindowsHost.model_validate({**least, "port": server.port, "host_key": server.fingerprint, **settings})


@contextlib.contextmanager
def connected(host: WindowsHost, stop: threading.Event | None = None, password: str | None = PASSWORD) -> Iterator[SshWindowsTransport]:
    transport = connect_to(host, LogonSecrets(password), stop or threading.Event())
    assert isinstance(transport, SshWindowsTransport)
    try:
        yield transport
    finally:
        transport.close()


def refused(host: WindowsHost, kind: type[HostError], script: str = "exit 0\n", password: str | None = PASSWORD) -> HostError:
    with pytest.raises(kind) as caught, connected(host, password=password) as transport:
        list(transport.run(script, [SECRET]))
    assert PASSWORD not in str(caught.value) and SECRET not in str(caught.value)
    return caught.value


def script_files(host: WindowsBox) -> list[Path]:
    """The bootstrap's files that are there now."""
    walked = os.walk(host.path(r"C:\users"))  # passes over a folder that is removed meanwhile
    return [Path(folder) / "nbserver.ps1" for folder, _, files in walked if "/nbserver-" in folder and "nbserver.ps1" in files]


# -- a script, its input, and its output


@pytest.mark.parametrize("shell", ["cmd", "powershell"])
def test_the_envelope_and_data_arrive_as_they_are(server: WindowsSshd, windows_host: WindowsBox, shell: Any) -> None:
    server.shell, server.greeting = shell, "Bonjour de l'h\u00f4te\r\n".encode("cp850")
    before = len(server.commands)
    with connected(host_of(server)) as transport:
        said = list(transport.run(f"# {'x' * 200_000}\n{ECHO}", ["mode test", SECRET], Payload.of(b"\x00\xff" * 100_000)))
    *lines, first, second = (base64.b64decode(line).decode() for line in said)
    assert lines == ["mode test", SECRET]
    assert base64.b64decode(first.removeprefix("data ")) + base64.b64decode(second.removeprefix("data ")) == b"\x00\xff" * 100_000
    assert script_files(windows_host) == []
    commands = server.commands[before:]
    assert len(commands) == 2 and not any(SECRET in command for command in commands), "what is the default shell, and the bootstrap"
    assert SECRET.encode() not in server.received[-2] and base64.b64encode(SECRET.encode()) in server.received[-1]


def test_output_comes_as_it_is_written_and_lines_stay_whole(server: WindowsSshd, windows_host: WindowsBox) -> None:
    with connected(host_of(server)) as transport:
        lines = transport.run(f"'{'x' * 3000}'\n{WAITS}", ENVELOPE)
        assert (next(lines), json.loads(next(lines))) == ("x" * 3000, {"line": 1}), "while the script runs"
        (file,) = script_files(windows_host)
        assert file.read_text("ascii").endswith(WAITS)
        (windows_host.path("C:\\") / "go.txt").touch()
        assert list(lines) == ['{"line": 2}']
        assert list(transport.run("'again'\n", ENVELOPE)) == ["again"], "on the same connection"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("throw 'this host knows no run'\n", "PowerShell could not run the script: this host knows no run"),
        ("if (\n", "Missing condition in if statement"),
    ],
)
def test_a_script_that_cannot_run(server: WindowsSshd, script: str, words: str) -> None:
    error = refused(host_of(server), ScriptError, script)
    assert error.code == "powershell-failed" and words in str(error)


def test_a_flood_is_cut_off(server: WindowsSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbserver.transports.answer_limits.LARGEST_STREAM", 500_000)
    assert refused(host_of(server), StreamError, "1..100 | ForEach-Object { 'x' * 10000 }\n").code == "output-too-large"


# -- stopping


@pytest.mark.parametrize("shell", ["cmd", pytest.param("powershell", marks=pytest.mark.second_tier("starts PowerShell in PowerShell"))])
def test_stop_runs_finally_and_what_is_run_then_runs(server: WindowsSshd, windows_host: WindowsBox, shell: Any) -> None:
    server.shell = shell
    stop = threading.Event()
    with connected(host_of(server), stop) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        assert next(lines) == '{"line": 1}'
        stop.set()
        with pytest.raises(StopRequested):
            list(lines)
        assert (windows_host.path("C:\\") / "finally.txt").read_text() == "done" and script_files(windows_host) == []
        assert list(transport.run("'after it'\n", ENVELOPE)) == ["after it"]


def test_stop_in_the_middle_of_the_data_starts_nothing(server: WindowsSshd, windows_host: WindowsBox) -> None:
    stop, sent = threading.Event(), list[int]()

    def blocks() -> Iterator[bytes]:
        for number in range(2000):
            sent.append(number)
            yield b"x" * 1_000_000
            stop.set()

    with connected(host_of(server), stop) as transport, pytest.raises(StopRequested):
        list(transport.run("[IO.File]::WriteAllText('C:\\finally.txt', 'begun')\n", ENVELOPE, Payload(2_000_000_000, blocks)))
    assert len(sent) < 2000 and b"\nstart\n" not in server.received[-1]
    assert not (windows_host.path("C:\\") / "finally.txt").exists()


def test_a_stop_that_a_host_with_one_session_cannot_hear(
    server: WindowsSshd, windows_host: WindowsBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbserver.transports.ssh_windows.transport.STOP_PATIENCE", 0.5)
    server.max_sessions, stop = 1, threading.Event()
    with connected(host_of(server), stop) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        stop.set()
        with pytest.raises(StopRequested):
            list(lines)
    (windows_host.path("C:\\") / "go.txt").touch()
    assert wait_until(lambda: script_files(windows_host) == []), "it went on to its end"


# -- lost connections


def test_a_script_goes_on_when_the_connection_is_lost(server: WindowsSshd, windows_host: WindowsBox) -> None:
    with connected(host_of(server)) as transport:
        lines = transport.run(f"{WAITS}[IO.File]::WriteAllText('C:\\finally.txt', 'whole')\n", ENVELOPE)
        next(lines)
        server.drop()
        with pytest.raises(ConnectError) as caught:
            list(lines)
    assert caught.value.code == "connection-lost"
    (windows_host.path("C:\\") / "go.txt").touch()
    ended = windows_host.path("C:\\") / "finally.txt"
    assert wait_until(lambda: ended.exists() and ended.read_text() == "whole"), "also its output, which nobody reads any more"
    assert wait_until(lambda: script_files(windows_host) == [])


def test_a_session_without_exit_status_counts_as_lost(server: WindowsSshd, windows_host: WindowsBox) -> None:
    with connected(host_of(server)) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        server.end_sessions()
        with pytest.raises(ConnectError) as caught:
            list(lines)
    assert caught.value.code == "connection-lost"
    (windows_host.path("C:\\") / "go.txt").touch()
    assert wait_until(lambda: script_files(windows_host) == [])


# -- hosts that cannot run it


@pytest.mark.parametrize(
    ("shell", "code", "words"),
    [
        ("bash", "windows-unix-shell", "a shell such as bash. Remove DefaultShell"),
        ("forced", "windows-other-shell", "This service allows sftp connections only. Check DefaultShell"),
        ("silent", "windows-shell-silent", "did not answer within 1 s"),
    ],
)
def test_another_shell_receives_nothing(server: WindowsSshd, shell: Any, code: str, words: str) -> None:
    server.shell, before = shell, len(server.commands)
    error = refused(host_of(server).model_copy(update={"connect_timeout": 1} if shell == "silent" else {}), ScriptError)
    assert error.code == code and words in str(error)
    assert len(server.commands) == before + 1, "only the question"


def test_a_host_where_powershell_does_not_start(server: WindowsSshd, windows_host: WindowsBox) -> None:
    program = windows_host.path(windows_powershell.PROGRAM)
    hidden = program.rename(program.with_suffix(".away"))
    try:
        error = refused(host_of(server), ScriptError)
    finally:
        hidden.rename(program)
    assert error.code == "windows-powershell-not-started" and "ask for an exemption" in str(error)


def test_a_host_that_restricts_powershell(server: WindowsSshd, windows_host: WindowsBox, tmp_path: Path) -> None:
    restricted = tmp_path / "restricted.pssc"
    restricted.write_text(session_configuration(None, "ConstrainedLanguage"))
    windows_powershell.configure(windows_host, restricted)
    try:
        error = refused(host_of(server), ScriptError)
    finally:
        windows_powershell.configure(windows_host)
    assert error.code == "windows-powershell-restricted" and "PowerShell runs in ConstrainedLanguage mode" in str(error)


# -- logging on


def test_through_a_jump_host(server: WindowsSshd, windows_host: WindowsBox) -> None:
    with WindowsSshd(windows_host, user="b", password=PASSWORD) as bastion:
        hop = SshServer("bastion", "127.0.0.1", "b", bastion.port, agent=False, host_key=bastion.fingerprint)
        host = host_of(server).model_copy(update={"hops": (hop,)})
        logon = LogonSecrets(PASSWORD, hops=(LogonSecrets(PASSWORD),))
        with contextlib.closing(connect_to(host, logon, threading.Event())) as transport:
            assert list(transport.run("'there'\n", ENVELOPE)) == ["there"]
        wrong = host.model_copy(update={"hops": (replace(hop, host_key=f"SHA256:{'A' * 43}"),)})
        with pytest.raises(HostKeyError) as caught:
            connect_to(wrong, logon, threading.Event())
        assert caught.value.code == "jump-host-key" and bastion.commands == []


def test_a_key_a_password_and_the_host_key(server: WindowsSshd, key: asyncssh.SSHKey, tmp_path: Path) -> None:
    file, other, known = tmp_path / "key", tmp_path / "other", tmp_path / "known_hosts"
    key.write_private_key(file)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(other)
    for path in (file, other):
        path.chmod(0o600)
    known.write_text(f"[127.0.0.1]:{server.port} {server.public_key}\n")
    for settings in ({"key_file": file, "password": None}, {"host_key": server.public_key}, {"host_key": None, "known_hosts": known}):
        with connected(host_of(server, **settings), password=None if "key_file" in settings else PASSWORD):
            pass
    error = refused(host_of(server, key_file=other, password=None), AuthenticationError, password=None)
    assert error.code == "windows-ssh-keys-rejected" and "administrators_authorized_keys" in str(error)
    assert refused(host_of(server), AuthenticationError, password="wrong").code == "ssh-password-rejected"
    assert refused(host_of(server, host_key=f"SHA256:{'A' * 43}"), HostKeyError).code == "host-key-not-pinned"
    known.write_text("")
    error = refused(host_of(server, host_key=None, known_hosts=known), HostKeyError)
    assert error.code == "windows-host-key-unknown" and r"C:\ProgramData\ssh\ssh_host_ed25519_key.pub" in str(error)
    assert server.fingerprint in str(error)


def test_the_keys_of_an_agent(server: WindowsSshd, key: asyncssh.SSHKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    key.write_private_key(file)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(other)
    for path in (file, other):
        path.chmod(0o600)
    host = host_of(server, agent=True, password=None)
    with agent_with(other) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        error = refused(host, AuthenticationError, password=None)
        assert error.code == "windows-ssh-keys-rejected" and "the keys in the SSH agent" in str(error)
        add(socket, file)
        with connected(host, password=None):
            pass
