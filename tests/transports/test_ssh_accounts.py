"""What a host's account, shell, and environment do to a run over SSH before the script starts."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import AuthenticationError, ConnectError, ScriptError
from tests.boxes.ssh.fixtures import ENVELOPE, PASSWORD, WHO, connected, host_of, refused, said, sshd, state, user, who  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User


@contextlib.contextmanager
def server(user: User, name: str, *options: str) -> Iterator[Sshd]:
    made = Sshd(user.home / name, user.name, user.authorized, options)
    try:
        yield made
    finally:
        made.close()


# -- the account


def test_an_account_that_has_expired(sshd: Sshd, user: User) -> None:
    """Key and password are right, and sshd closes the connection: there was no loss, and the password is not sent again."""
    user.expires(account=True)
    try:
        for logon in ({}, {"password": PASSWORD}):
            words = refused(host_of(sshd, user, **({"key_file": None} if logon else {})), AuthenticationError, **logon)
            assert f"closed the connection while {user.name} was logging in: Your account has expired" in words
        assert sshd.log.read_text().count("Access denied for user") == 2
    finally:
        user.expires()


def test_a_password_that_has_expired(sshd: Sshd, user: User) -> None:
    """The key is accepted, and the command is replaced by passwd."""
    user.expires(password=True)
    try:
        for sudo in (False, True):
            words = refused(host_of(sshd, user, sudo=sudo), AuthenticationError)
            assert f"the password for {user.name} on the host has expired: WARNING: Your password has expired" in words
    finally:
        user.expires()


def test_what_is_asked_after_the_password_is_not_blamed_on_it(user: User) -> None:
    """By keyboard-interactive, which needs no command to say so."""
    with server(user, "asks", "PasswordAuthentication no", "KbdInteractiveAuthentication yes") as asking:
        host = host_of(asking, user, key_file=None)
        try:
            for expired, words in (
                (
                    {"password": True},
                    "You are required to change your password immediately (administrator enforced). Changing password for",
                ),
                ({"account": True}, "Your account has expired; please contact your system administrator."),
            ):
                user.expires(**expired)
                assert f"refused to log {user.name} in: {words}" in refused(host, AuthenticationError, password=PASSWORD)
        finally:
            user.expires()
        assert f"rejected the password for {user.name}" in refused(host, AuthenticationError, password="Canary-Wrong")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ForceCommand echo hello", "the host ran a different command instead of nbserver's: hello"),
        ("ForceCommand true", "the host ran a different command instead of nbserver's: exit code 0"),
        ("ForceCommand internal-sftp", "the host's shell did not start the script: This service allows sftp connections only"),
        ("ForceCommand false", "the host's shell did not start the script: exit code 1, no error output"),
    ],
    ids=["prints", "true", "internal-sftp", "false"],
)
def test_a_forced_command(user: User, option: str, words: str) -> None:
    with server(user, option.replace(" ", "-"), option) as forced:
        said = refused(host_of(forced, user), ScriptError)
        assert words in said and "ForceCommand in the sshd configuration" in said


def test_a_forced_command_that_waits(user: User) -> None:
    """The time that the script has to start is short; the login may take longer."""
    with server(user, "waits", "ForceCommand cat") as forced, connected(host_of(forced, user)) as transport:
        transport._host = transport._host.model_copy(update={"connect_timeout": 5})
        with pytest.raises(ScriptError, match=r"the host's shell did not start the script: no output within 5 s.*ForceCommand"):
            list(transport.run(WHO, ENVELOPE))


def test_a_forced_command_that_runs_the_original_one(user: User) -> None:
    with server(user, "original", 'ForceCommand sh -c "$SSH_ORIGINAL_COMMAND"') as forced:
        assert said(host_of(forced, user)) == who(user.name)


def test_a_host_that_opens_no_session(user: User) -> None:
    """The connection is there all the time."""
    with server(user, "no-session", "MaxSessions 0") as full:
        words = refused(host_of(full, user), ConnectError)
        assert f"{user.name} can log in to 127.0.0.1:{full.port}, but the host refuses to open a session: open failed" in words


def test_a_host_that_closes_every_connection(sshd: Sshd, user: User) -> None:
    """As with MaxStartups or fail2ban: nothing was lost."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=close, daemon=True).start()
        words = refused(host_of(sshd, user, port=listener.getsockname()[1]), ConnectError)
        listener.shutdown(socket.SHUT_RDWR)
    assert "accepted the connection and closed it before the login" in words and "MaxStartups" in words


def test_an_address_without_a_way_to_it(sshd: Sshd, user: User) -> None:
    assert "could not connect to 255.255.255.255:22: " in refused(host_of(sshd, user, address="255.255.255.255", port=22), ConnectError)


# -- the shell


def test_hosts_without_bash_sudo_or_a_shell(sshd: Sshd, user: User) -> None:
    shell = user.home / "shell"
    shell.write_text('#!/bin/sh\nPATH=/nowhere exec /bin/sh "$@"\n')
    shell.chmod(0o755)
    user.shell(str(shell))
    try:
        assert "bash is not installed on the host" in refused(host_of(sshd, user), ScriptError)
        assert "sudo is not installed on the host" in refused(host_of(sshd, user, sudo=True), ScriptError)
        user.shell("/usr/sbin/nologin")
        assert "the host's shell did not start the script: This account is currently not available" in refused(
            host_of(sshd, user), ScriptError
        )
    finally:
        user.shell("/bin/bash")


@pytest.mark.parametrize("sudo", [False, True])
def test_csh_is_sent_nothing(sshd: Sshd, user: User, sudo: bool) -> None:
    """It would run each line of the bootstrap, and did so up to the line that says that it is ready."""
    if not shutil.which("tcsh"):
        pytest.skip("an account with csh needs tcsh (Debian package tcsh)")
    before = set(user.home.iterdir())
    user.shell(str(shutil.which("tcsh")))
    try:
        words = refused(host_of(sshd, user, sudo=sudo), ScriptError, sudo_password="Canary-Not-Wanted")
    finally:
        user.shell("/bin/bash")
    assert f"the login shell of {user.name} on the host is csh or tcsh" in words and f"chsh -s /bin/bash {user.name}" in words
    assert set(user.home.iterdir()) == before, "no line of the bootstrap was run"


# -- the environment


def test_bash_takes_nothing_from_the_environment(user: User, state: Path) -> None:
    """As with module systems, which set BASH_ENV for everybody; and a folder for temporary files that is gone."""
    start_up, children = state / "start", state / "children"
    start_up.write_text(f"echo noise\nread() {{ exit 5; }}\nexport -f read\necho $$ >>{children}\n")
    surroundings = [f"BASH_ENV={start_up}", 'BASH_FUNC_printf%%="() { exit 6; }"', "SHELLOPTS=xtrace:noglob", f"TMPDIR={state}/gone"]
    with server(user, "environment", f"SetEnv {' '.join(surroundings)}") as server_:
        assert said(host_of(server_, user)) == who(user.name)
    assert not children.exists()
