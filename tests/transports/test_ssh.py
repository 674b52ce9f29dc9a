"""transport = "ssh" against a real sshd and a real sudo: log on, run, stop, and keep secrets where they belong."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import AuthenticationError, ConnectError, HostKeyError, ScriptError
from nbserver.run.envelope import Envelope
from nbserver.transports.transport import StopRequested
from tests.boxes.ssh.fixtures import PASSWORD, connected, host_of, linux_host, refused, said, sshd, state, user, wait_until, who, wire  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, ran_as, small_script
from tests.boxes.ssh.sshd import Sshd, User, make_key
from tests.boxes.ssh.wire import Wire
from tests.ports import free_port
from tests.silent_address import name_with, silent_address
from tests.ssh_agent import agent_with

ENVELOPE = ["mode test"]


# -- a run


def test_a_script_runs_and_says_what_it_says(sshd: Sshd, user: User, state: Path) -> None:
    script = small_script("linux1", state)
    with connected(host_of(sshd, user)) as transport:
        lines = list(transport.run(script.text, Envelope("apply", "run-1").lines()))
        events = [json.loads(line) for line in lines]
        assert [event["n"] for event in events] == list(range(1, EVENTS + 1))
        assert events[0]["script_sha256"] == script.sha256
        assert ran_as(lines[0]) == [user.name, "/dev/null"], "children have no standard input"
        again = list(transport.run(script.text, Envelope("events", "run-1", after=3).lines()))
        assert again == lines[3:], "a second run over the same connection"


def test_output_comes_while_the_script_runs(sshd: Sshd, user: User, state: Path) -> None:
    (state / "hold").write_text("3")
    with connected(host_of(sshd, user)) as transport:
        lines = transport.run(small_script("linux1", state).text, Envelope("apply", "run-1").lines())
        assert [json.loads(next(lines))["n"] for _ in range(3)] == [1, 2, 3]
        (state / "hold").unlink()
        assert len(list(lines)) == EVENTS - 3


def test_the_envelope_arrives_as_it_is(sshd: Sshd, user: User) -> None:
    script = f"# {'x' * 200_000}\nbase64 -w0; exit 2\n"
    with connected(host_of(sshd, user)) as transport:
        (line,) = transport.run(script, ["mode test", "operator Andr\u00e9 \u96ea"])
    assert base64.b64decode(line).decode() == "mode test\noperator Andr\u00e9 \u96ea\n"


@pytest.mark.parametrize(("code", "ran"), [(0, True), (2, True), (3, True), (102, True), (1, False), (143, False)])
def test_how_a_script_ends(sshd: Sshd, user: User, code: int, ran: bool) -> None:
    script = f"printf 'why\\n' >&2; exit {code}\n"
    with connected(host_of(sshd, user)) as transport:
        if ran:
            assert list(transport.run(script, ENVELOPE)) == []
        else:
            with pytest.raises(ScriptError, match=r"linux1: bash could not run the script: why"):
                list(transport.run(script, ENVELOPE))


@pytest.mark.parametrize("script", ["kill -KILL $$\n", "kill -KILL $PPID; sleep 1\n"], ids=["the script", "the bootstrap"])
def test_a_killed_script_is_said_to_be_killed(sshd: Sshd, user: User, script: str) -> None:
    words = r"linux1: the script was killed with signal 9 .* which is safe.* memory"
    with connected(host_of(sshd, user)) as transport, pytest.raises(ScriptError, match=words):
        list(transport.run(script, ENVELOPE))


def test_what_a_shell_says_at_its_start_is_no_event(sshd: Sshd, user: User) -> None:
    start_up = user.home / ".bashrc"
    start_up.write_text("echo 'Welcome!'; echo 'no line end' >&2; printf 'and another'\n")
    try:
        assert said(host_of(sshd, user)) == who(user.name)
    finally:
        start_up.unlink()


def test_stop_lets_the_script_end_by_itself_and_what_is_run_then_runs(sshd: Sshd, user: User, state: Path) -> None:
    (state / "hold").write_text("3")
    stop, script = threading.Event(), small_script("linux1", state)
    with connected(host_of(sshd, user), stop) as transport:
        lines = transport.run(script.text, Envelope("apply", "run-1").lines())
        events = [json.loads(next(lines)) for _ in range(3)]
        stop.set()
        with pytest.raises(StopRequested):
            events.extend(json.loads(line) for line in lines)
        assert (events[-1]["event"], events[-1]["outcome"]) == ("finished", "stopped")
        assert len(list(transport.run(script.text, Envelope("events", "run-1").lines()))) == len(events)


def test_stop_reaches_a_script_that_sudo_started(sshd: Sshd, user: User, state: Path) -> None:
    user.sudo("%u ALL=(root) NOPASSWD: ALL")
    (state / "hold").write_text("3")
    stop = threading.Event()
    with connected(host_of(sshd, user, sudo=True), stop) as transport:
        lines = transport.run(small_script("linux1", state).text, Envelope("apply", "run-1").lines())
        assert ran_as(next(lines))[0] == "root"
        stop.set()
        with pytest.raises(StopRequested):
            list(lines)
    assert '"outcome":"stopped"' in (state / "run-1.jsonl").read_text()


# -- logging on


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A real agent with a key of its own, which the host does not know yet: the key."""
    key = make_key(tmp_path / "key")
    with agent_with(key) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield key


def test_the_agent_is_asked(sshd: Sshd, user: User, agent: Path) -> None:
    host = host_of(sshd, user, key_file=None, agent=True)
    assert "rejected the keys in the SSH agent for" in refused(host, AuthenticationError)
    user.authorize(agent)
    assert said(host) == who(user.name)
    assert "no credentials for" in refused(host_of(sshd, user, key_file=None), AuthenticationError), "agent = false"


def test_the_key_file_comes_before_the_keys_of_the_agent(sshd: Sshd, user: User, agent: Path) -> None:
    """An agent with many keys would use up the attempts that sshd allows."""
    for number in range(8):
        subprocess.run(["ssh-add", "-q", make_key(agent.parent / f"other{number}")], check=True, stderr=subprocess.DEVNULL)
    assert said(host_of(sshd, user, agent=True)) == who(user.name)
    assert "in the SSH agent" in refused(host_of(sshd, user, agent=True, key_file=None), AuthenticationError)


def test_an_agent_that_is_gone_has_no_keys(sshd: Sshd, user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
    assert said(host_of(sshd, user, agent=True)) == who(user.name)
    assert "and the SSH agent has no keys" in refused(host_of(sshd, user, agent=True, key_file=None), AuthenticationError)


def test_the_password(sshd: Sshd, user: User) -> None:
    host = host_of(sshd, user, key_file=None)
    assert said(host, password=PASSWORD) == who(user.name)
    assert f"rejected the password for {user.name}." in refused(host, AuthenticationError, password="Canary-Wrong")
    failed = len(re.findall("Failed password for", sshd.log.read_text()))
    assert failed == 1, "one attempt: more could lock the account"


def test_a_password_that_is_asked_for_by_keyboard_interactive(user: User) -> None:
    server = Sshd(user.home / "kbd", user.name, user.authorized, ["PasswordAuthentication no", "KbdInteractiveAuthentication yes"])
    try:
        host = host_of(server, user, key_file=None)
        assert said(host, password=PASSWORD) == who(user.name)
        assert "rejected the password" in refused(host, AuthenticationError, password="Canary-Wrong")
    finally:
        server.close()


def test_a_host_that_takes_no_password(user: User) -> None:
    server = Sshd(user.home / "keys-only", user.name, user.authorized, ["PasswordAuthentication no"])
    try:
        assert "does not accept passwords for" in refused(host_of(server, user, key_file=None), AuthenticationError, password=PASSWORD)
        other = make_key(user.home / "unknown-key")
        words = refused(host_of(server, user, key_file=other), AuthenticationError, password=PASSWORD)
        assert "rejected the key in key_file" in words and "it does not accept passwords" in words
    finally:
        server.close()


def test_a_host_that_wants_key_and_password(user: User) -> None:
    server = Sshd(user.home / "both", user.name, user.authorized, ["AuthenticationMethods publickey,password"])
    try:
        assert said(host_of(server, user), password=PASSWORD) == who(user.name)
        refused(host_of(server, user), AuthenticationError)
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_encrypted_keys(sshd: Sshd, user: User, kind: str) -> None:
    key = make_key(user.home / f"encrypted-{kind}", kind, "Canary-Key", ["-m", "PEM"] if kind == "rsa" else [])
    user.authorize(key)
    host = host_of(sshd, user, key_file=key)
    assert said(host, key_password="Canary-Key") == who(user.name)
    assert "is encrypted, but key_password is not set" in refused(host, AuthenticationError)
    assert "key_password does not decrypt" in refused(host, AuthenticationError, key_password="Canary-Wrong")


def test_a_key_file_that_is_no_key_is_told_before_the_host_is_contacted(user: User, tmp_path: Path) -> None:
    nobody = linux_host(port=free_port(), user=user.name, host_key="SHA256:x")
    missing = nobody.model_copy(update={"key_file": tmp_path / "missing"})
    assert f"could not read {tmp_path / 'missing'}: No such file" in refused(missing, AuthenticationError)
    public = nobody.model_copy(update={"key_file": user.key.with_suffix(".pub")})
    assert "is not a supported private key" in refused(public, AuthenticationError)


def test_root_needs_no_sudo(sshd: Sshd, user: User) -> None:
    """AuthorizedKeysFile is for every user of this server."""
    assert said(host_of(sshd, user, sudo=True).model_copy(update={"user": "root"})) == who("root")


# -- the way


def test_nobody_there(sshd: Sshd, user: User) -> None:
    assert " refused the connection" in refused(host_of(sshd, user, port=free_port()), ConnectError)
    assert "could not resolve the name no.such.name.invalid" in refused(host_of(sshd, user, address="no.such.name.invalid"), ConnectError)


@pytest.mark.parametrize(
    ("greeting", "patience", "words"),
    [(b"", 0.5, "did not answer within 0.5 s"), (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2000, 60, "answered, but does not speak SSH")],
    ids=["silent", "web"],
)
def test_something_else_listens(sshd: Sshd, user: User, greeting: bytes, patience: float, words: str) -> None:
    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # who has read enough hangs up
                connection.sendall(greeting)
                given_up.wait(600)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert words in refused(host_of(sshd, user, port=listener.getsockname()[1], connect_timeout=patience), ConnectError)
        given_up.set()
        thread.join()


def test_a_name_with_a_silent_address(sshd: Sshd, user: User) -> None:
    """connect_timeout is for each address. What is said is what the more talkative one did."""
    impatient, other = host_of(sshd, user, address="two.example", connect_timeout=4), free_port()
    with silent_address(sshd.port) as silent, silent_address(other):
        with name_with("two.example", silent, "127.0.0.1"):
            assert said(impatient) == who(user.name)
            assert f"two.example:{other} refused the connection" in refused(impatient.model_copy(update={"port": other}), ConnectError)
        with name_with("two.example", silent, "255.255.255.255"):
            assert "two.example:" in (words := refused(impatient, ConnectError)) and "did not answer within 4 s" in words


def test_a_dead_connection_is_noticed(sshd: Sshd, user: User, wire: Wire, state: Path) -> None:
    """Nothing passes any more, and nobody says so: as when a cable is pulled."""
    (state / "hold").write_text("3")
    with connected(host_of(sshd, user, port=wire.port, keepalive=1.0)) as transport:
        lines = transport.run(small_script("linux1", state).text, Envelope("apply", "run-1").lines())
        next(lines)
        wire.silent.set()
        try:
            with pytest.raises(ConnectError, match=r"the connection to 127\.0\.0\.1:[0-9]+ was lost"):
                list(lines)
        finally:
            wire.silent.clear()
            (state / "hold").unlink()
    assert wait_until(lambda: '"finished"' in (state / "run-1.jsonl").read_text()), "the script goes on"


def test_stop_while_connecting(sshd: Sshd, user: User) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(StopRequested), connected(host_of(sshd, user, port=listener.getsockname()[1]), stop):
            pass


# -- the host's key


def test_known_hosts(sshd: Sshd, user: User, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    host = host_of(sshd, user, host_key=None, known_hosts=file)
    words = refused(host, HostKeyError)
    assert f"is not known on this workstation (ED25519 key fingerprint is {sshd.fingerprint()})." in words
    assert f'host_key = "{sshd.fingerprint()}"' in words and "or run: ssh-keyscan" in words
    subprocess.run(["sh", "-c", words.partition("or run: ")[2]], check=True, capture_output=True)
    assert said(host) == who(user.name), "what the message tells to do works"
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "|1|" in file.read_text() and said(host) == who(user.name), "hashed"
    file.write_text(f"[other.example]:22 {sshd.public_key()}\n127.0.0.1,x {sshd.public_key()}\n")
    assert said(host) == who(user.name), "an entry without a port"
    file.write_bytes(b"=======\n@nonsense * x\n" + f"127.0.0.1 {sshd.public_key()}\r\n".encode("utf-16-le"))
    assert said(host) == who(user.name), "lines that cannot be read, and one that PowerShell has appended"
    file.write_text(f"127.0.0.2 {sshd.public_key()}\n")
    assert "is not known on this workstation" in refused(host, HostKeyError)


def test_a_key_that_has_changed(sshd: Sshd, user: User, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    words = refused(host_of(sshd, user, host_key=None, known_hosts=file), HostKeyError)
    assert (
        "has changed: the host presented a key that is not in" in words
        and "(ED25519 key fingerprint is" in words
        and f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {file}" in words
    )
    assert "not known" not in words
    for pin in (other.strip(), "SHA256:" + "A" * 43):
        assert "presented a host key that does not match host_key in the inventory" in refused(
            host_of(sshd, user, host_key=pin), HostKeyError
        )
    rsa = make_key(tmp_path / "rsa", "rsa").with_suffix(".pub").read_text()
    file.write_text(f"[127.0.0.1]:{sshd.port} {rsa}")
    assert "(ED25519 key fingerprint is" in refused(host_of(sshd, user, host_key=None, known_hosts=file), HostKeyError), "another kind"
    assert "does not match host_key" in refused(host_of(sshd, user, host_key=rsa.strip()), HostKeyError)


def test_pinned_keys(user: User) -> None:
    """A fingerprint does not tell the kind of the key: any that the host has is found."""
    server = Sshd(user.home / "kinds", user.name, user.authorized, keys=["ed25519", "ecdsa", "rsa"])
    try:
        for kind in ("ed25519", "ecdsa", "rsa"):
            assert said(host_of(server, user, host_key=server.fingerprint(kind))) == who(user.name)
            assert said(host_of(server, user, host_key=server.fingerprint(kind) + "=")) == who(user.name)
            assert said(host_of(server, user, host_key=server.public_key(kind))) == who(user.name)
        assert "ED25519 key fingerprint" in refused(host_of(server, user, host_key="SHA256:" + "A" * 43), HostKeyError)
        assert "host_key is not a valid public key" in refused(host_of(server, user, host_key="ssh-ed25519 AAAA"), HostKeyError)
    finally:
        server.close()


def test_revoked_keys_and_authorities(user: User, tmp_path: Path) -> None:
    authority, file = make_key(tmp_path / "authority"), tmp_path / "known_hosts"
    host_key = make_key(tmp_path / "host")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "x", "-h", "-n", "127.0.0.1", host_key.with_suffix(".pub")],
        check=True,
        capture_output=True,
    )
    server = Sshd(
        user.home / "certified", user.name, user.authorized, [f"HostKey {host_key}", f"HostCertificate {host_key}-cert.pub"], keys=[]
    )
    try:
        host = linux_host(port=server.port, user=user.name, key_file=user.key, known_hosts=file)
        line = authority.with_suffix(".pub").read_text()
        file.write_text(f"@cert-authority * {line}")
        assert said(host) == who(user.name)
        file.write_text(f"@cert-authority *.example.com {line}")
        assert "is not known on this workstation" in refused(host, HostKeyError)
        file.write_text(f"@cert-authority * {line}@revoked * {line}")
        assert "marks as revoked" in refused(host, HostKeyError)
        plain = host_key.with_suffix(".pub").read_text()
        file.write_text(f"127.0.0.1 {plain}@revoked [127.0.0.1]:{server.port} {plain}")
        assert "marks as revoked" in refused(host, HostKeyError)
        file.write_text(f"127.0.0.1 {plain}@revoked LOCALHOST {plain}")
        assert "marks as revoked" in refused(host.model_copy(update={"address": "localhost"}), HostKeyError)
    finally:
        server.close()


def test_the_users_own_configuration_is_not_read(sshd: Sshd, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ~/.ssh/config nor the keys in ~/.ssh: only what the inventory says."""
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "config").write_text("Host *\n  User nobody\n  ProxyCommand false\n  ForwardAgent yes\n  SetEnv A=b\n")
    (folder / "id_ed25519").write_bytes(user.key.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert said(host_of(sshd, user)) == who(user.name)
    assert "no credentials for" in refused(host_of(sshd, user, key_file=None), AuthenticationError)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.public_key()}\n")
    assert said(host_of(sshd, user, host_key=None)) == who(user.name), "the default of known_hosts"
