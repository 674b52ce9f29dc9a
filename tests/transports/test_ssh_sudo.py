"""sudo on the way to a script: with a password, without, and when it refuses; and where no secret may ever be."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from nbserver.base.errors import AuthenticationError
from nbserver.run.envelope import Envelope
from nbserver.transports.ssh.bootstrap import PROMPT, bootstrap
from nbserver.transports.transport import LogonSecrets
from tests import canary
from tests.boxes.ssh.fixtures import PASSWORD, connected, host_of, refused, said, sshd, state, text_of, user, wait_until, who  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, ran_as, small_script
from tests.boxes.ssh.sshd import Sshd, User

SECRET = "Canary-Envelope-\u00e9"


# -- sudo


def test_sudo_without_a_password(sshd: Sshd, user: User) -> None:
    user.sudo("%u ALL=(root) NOPASSWD: ALL")
    assert said(host_of(sshd, user, sudo=True)) == who("root")
    assert said(host_of(sshd, user, sudo=True), sudo_password="Canary-Not-Wanted") == who("root"), "given, and never asked for"
    assert said(host_of(sshd, user, sudo=False)) == who(user.name)


def test_sudo_with_a_password(sshd: Sshd, user: User) -> None:
    user.sudo("Defaults:%u passwd_tries=3", "%u ALL=(root) PASSWD: ALL")
    host = host_of(sshd, user, sudo=True)
    assert said(host, sudo_password=PASSWORD) == who("root")
    assert f"sudo on the host requires the password for {user.name}, but sudo_password is not set" in refused(host, AuthenticationError)
    assert "sudo on the host rejected sudo_password" in refused(host, AuthenticationError, sudo_password="Canary-Wrong")


def test_sudo_that_remembers(sshd: Sshd, user: User) -> None:
    user.sudo("Defaults:%u timestamp_type=global", "%u ALL=(root) PASSWD: ALL")
    host = host_of(sshd, user, sudo=True)
    assert said(host, sudo_password=PASSWORD) == who("root")
    assert said(host) == who("root"), "it is remembered"
    assert said(host, sudo_password=PASSWORD) == who("root"), "and what was not asked for is nobody's input"
    subprocess.run(["su", user.name, "-s", "/bin/sh", "-c", "sudo -K"], check=True)


@pytest.mark.parametrize("rule", ["use_pty", "!use_pty", "log_output", "lecture=always"])
def test_sudo_however_it_runs_a_command(sshd: Sshd, user: User, state: Path, rule: str) -> None:
    user.sudo(f"Defaults:%u {rule}", "%u ALL=(root) PASSWD: ALL")
    with connected(host_of(sshd, user, sudo=True), sudo_password=PASSWORD) as transport:
        lines = list(transport.run(small_script("linux1", state).text, Envelope("apply", "run-1").lines()))
    assert len(lines) == EVENTS and ran_as(lines[0])[0] == "root" and PASSWORD not in "".join(lines)


def test_sudo_says_a_lot_before_it_asks(sshd: Sshd, user: User, state: Path) -> None:
    """A notice of any length, a shell that sends its errors to its output, and one that shows each command with the prompt in it."""
    lecture, start_up = state / "lecture", user.home / ".bashrc"
    lecture.write_text("This system is for authorized users only. " * 500)
    host = host_of(sshd, user, sudo=True, connect_timeout=10)
    user.sudo(f"Defaults:%u lecture=always,lecture_file={lecture}", "%u ALL=(root) PASSWD: ALL")
    assert said(host, sudo_password=PASSWORD) == who("root")
    try:
        for line in ("exec 2>&1", "set -xv"):
            start_up.write_text(f"{line}\n")
            assert said(host, sudo_password=PASSWORD) == who("root"), line
            assert "sudo_password is not set" in refused(host, AuthenticationError), line
        assert "sudo on the host rejected sudo_password" in refused(host, AuthenticationError, sudo_password="Canary-Wrong")
    finally:
        start_up.unlink()
    user.sudo(f"Defaults:%u lecture=always,lecture_file={lecture}", "%u ALL=(root) PASSWD: /bin/true")
    assert "sudo does not allow" in refused(host, AuthenticationError, sudo_password=PASSWORD)


def test_a_second_factor(sshd: Sshd, user: User, state: Path) -> None:
    """By default, sudo replaces the question with its own prompt. The password was right, so it is not blamed."""
    if not shutil.which("google-authenticator"):
        pytest.skip("a second factor needs pam_google_authenticator (Debian package libpam-google-authenticator)")
    codes = state / "codes"
    codes.write_text("A" * 26 + '\n" TOTP_AUTH\n')
    codes.chmod(0o400)
    code = f"auth required pam_google_authenticator.so secret={codes} user=root no_strict_owner"
    service = user.pam("auth required pam_unix.so", code, "account required pam_permit.so")
    host = host_of(sshd, user, sudo=True, connect_timeout=10)
    try:
        user.sudo(f"Defaults:%u pam_service={service}", "%u ALL=(root) PASSWD: ALL")
        assert f"asks {user.name} for a second secret after the password" in refused(host, AuthenticationError, sudo_password=PASSWORD)
        user.pam(code, "account required pam_permit.so")
        user.sudo(f"Defaults:%u pam_service={service},!passprompt_override", "%u ALL=(root) PASSWD: ALL")
        host = host.model_copy(update={"connect_timeout": 1.0})
        assert f'asks {user.name} for something other than a password: "Verification code:"' in refused(
            host, AuthenticationError, sudo_password=PASSWORD
        )
    finally:
        user.pam()


def test_sudo_rs_asks_in_its_own_words(sshd: Sshd, user: User, state: Path) -> None:
    """As in src/pam/converse.rs of sudo-rs: the prompt of -p in brackets, then the question. Ubuntu has it as sudo since 25.10."""
    start_up, programs = user.home / ".bashrc", state / "programs"
    programs.mkdir(mode=0o755)
    ask = f"""printf '[sudo: {PROMPT}] %s' "$1" >&2; IFS= read -r REPLY; printf '\\n' >&2"""
    start_up.write_text(f"PATH={programs}:$PATH\n")
    host = host_of(sshd, user, sudo=True, connect_timeout=10)
    try:
        for then, expected in (
            ("ask 'Verification code: '", f"asks {user.name} for a second secret after the password"),
            ("echo 'sudo: Authentication failed, try again.' >&2; ask 'Password: '", "sudo on the host rejected sudo_password"),
        ):
            program = programs / "sudo"
            program.write_text(f"#!/bin/bash\nask() {{ {ask}; }}\nask 'Password: '\n[[ $REPLY == {PASSWORD} ]] || exit 1\n{then}\nexit 1\n")
            program.chmod(0o755)
            assert expected in refused(host, AuthenticationError, sudo_password=PASSWORD)
    finally:
        start_up.unlink()


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("account required pam_deny.so", "the host does not accept the account {user}: "),
        ("account required pam_unix.so", "the password for {user} on the host has expired: "),
    ],
    ids=["refused", "expired"],
)
def test_sudo_that_does_not_accept_the_account(sshd: Sshd, user: User, account: str, words: str) -> None:
    service = user.pam("auth required pam_unix.so", account)
    user.sudo(f"Defaults:%u pam_service={service}", "%u ALL=(root) PASSWD: ALL")
    try:
        with connected(host_of(sshd, user, sudo=True, connect_timeout=3), sudo_password=PASSWORD) as transport:
            user.expires(password="expired" in words)
            with pytest.raises(AuthenticationError) as caught:
                list(transport.run("exit 0\n", ["mode test"]))
        assert words.format(user=user.name) in str(caught.value)
    finally:
        user.expires()
        user.pam()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "sudo does not allow {user} to run bash as root"),
        (["%u ALL=(root) NOPASSWD: /bin/true"], "sudo does not allow {user} to run bash as root"),
        (["Defaults:%u requiretty", "%u ALL=(root) NOPASSWD: ALL"], "sudo requires a terminal for {user} (requiretty)"),
        (["Defaults:%u secure_path=/nowhere", "%u ALL=(root) NOPASSWD: ALL"], "bash is not installed on the host"),
        (["Defaults:%u noexec", "%u ALL=(root) NOPASSWD: ALL"], "bash cannot start other programs (NOEXEC)"),
        (["%u ALL=(root) NOPASSWD: NOEXEC: ALL"], "bash cannot start other programs (NOEXEC)"),
        (["Defaults:%u passwd_tries=1,rootpw", "%u ALL=(root) PASSWD: ALL"], "sudo on the host rejected sudo_password for {user}"),
    ],
    ids=["no rule", "another command", "requiretty", "no bash", "noexec", "NOEXEC", "one try"],
)
def test_sudo_that_refuses(sshd: Sshd, user: User, rules: list[str], words: str) -> None:
    user.sudo(*rules)
    assert words.format(user=user.name) in refused(host_of(sshd, user, sudo=True), AuthenticationError, sudo_password=PASSWORD)


# -- secrets


def test_no_secret_is_where_it_does_not_belong(sshd: Sshd, user: User, state: Path) -> None:
    """Not in an argument list while it runs, and in no file of the host: of the run, of sudo's log, of sshd's."""
    user.sudo(f"Defaults:%u log_output,iolog_dir={state}/io,logfile={state}/sudo.log", "%u ALL=(root) PASSWD: ALL")
    (state / "hold").write_text("4")
    lines_of_commands: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            lines_of_commands.update(canary.command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    secrets = {"sudo": PASSWORD, "envelope": SECRET}
    try:
        with connected(host_of(sshd, user, sudo=True, key_file=None), password=PASSWORD, sudo_password=PASSWORD) as transport:
            envelope = Envelope("apply", "run-1", secrets={"notebook.password_hash": SECRET}).lines()
            events = [next(lines) for lines in [transport.run(small_script("linux1", state).text, envelope)] for _ in range(4)]
            folders = [path for path in Path("/dev/shm").glob("tmp.*") if str(state) in text_of(path / "nbserver.sh")]
            assert folders, "while it runs"
            assert canary.files_with(secrets, [*folders, state, sshd.folder]) == {"sudo": [], "envelope": []}
            assert wait_until(lambda: any(bootstrap().encode() in line for line in lines_of_commands.copy())), "it would be found"
            (state / "hold").unlink()
    finally:
        ended.set()
        watcher.join()
    assert wait_until(lambda: '"finished"' in (state / "run-1.jsonl").read_text())
    assert (state / "sudo.log").exists() and not any(secret in "".join(events) for secret in secrets.values())
    for secret in secrets.values():
        for form in canary.forms(secret):
            assert not [line for line in lines_of_commands if form in line]
    assert canary.files_with(secrets, [state, sshd.folder]) == {"sudo": [], "envelope": []}


def test_the_secrets_hide_themselves() -> None:
    assert "Canary" not in repr(LogonSecrets("Canary-a", "Canary-b", "Canary-c"))
