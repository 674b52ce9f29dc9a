"""What an SSH host that does not start the script is said to have done."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from nbserver.inventory.linux_host import LinuxHost
from nbserver.transports.ssh.not_started import in_sudoers, not_started

HOST = LinuxHost.model_validate(
    {"name": "l1", "system": "linux", "address": "l1", "user": "anna", "connect_timeout": 7, "notebook": {"password": {"env": "N"}}}
)


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (None, "", "l1: the host's shell did not start the script: no output within 7 s."),
        (None, "motd", "l1: the host's shell did not start the script: motd."),
        (7, "", "l1: the host's shell did not start the script: exit code 7, no error output."),
        (
            0,
            "hello",
            "l1: the host ran a different command instead of nbserver's: hello. On the host, check what replaces the command: command=",
        ),
        (97, "/usr/bin/env: Event not found.", "l1: the login shell of anna on the host is csh or tcsh, which cannot start the script."),
        (127, "bash: not found", "l1: bash is not installed on the host: bash: not found."),
        (1, "a notice " * 1000 + "the end", "l1: the host's shell did not start the script: ...ce a notice"),
    ],
)
def test_a_host_that_does_not_start_the_script(code: int | None, words: str, expected: str) -> None:
    assert str(not_started(HOST, code, words, sudo=False)).startswith(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sudo: 1 incorrect password attempt", "sudo on the host rejected sudo_password"),
        ("sudo: maximum 3 incorrect authentication attempts", "sudo on the host rejected sudo_password"),
        ('sudo: Account expired or PAM config lacks an "account" section for sudo', "the host does not accept the account anna"),
        ("sudo: account validation failure, is your account locked?", "the host does not accept the account anna"),
        ("sudo: Account or password is expired, reset your password and try again", "the password for anna on the host has expired"),
        ("sudo: Password expired, contact your system administrator", "the password for anna on the host has expired"),
        ("Sorry, user anna is not allowed to execute '/usr/bin/bash -p -c " + "x" * 4000 + "' as root on l1.", "sudo does not allow anna"),
        ("bash: line 24: /usr/bin/sha256sum: Permission denied bash cannot start sha256sum", "programs (NOEXEC)"),
        ("something new", "sudo did not start the script: something new"),
    ],
)
def test_a_sudo_that_refuses(words: str, expected: str) -> None:
    """In the words of sudo 1.9 and of sudo-rs."""
    assert expected in str(not_started(HOST, 1, words, sudo=True, answered=True))


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("anna", "anna"),
        ("anna.b-c_d", "anna.b-c_d"),
        ("EXAMPLE\\anna", r"EXAMPLE\\anna"),
        ("anna b", r"anna\ b"),
        ("a,b:c=d!(e)", r"a\,b\:c\=d\!\(e\)"),
        ("anna@example.com", "anna@example.com"),
    ],
)
def test_a_user_in_a_rule_of_sudo(user: str, expected: str, tmp_path: Path) -> None:
    assert in_sudoers(user) == expected
    host = HOST.model_copy(update={"user": user})
    said = str(not_started(host, 1, "anna is not in the sudoers file", sudo=True))
    assert f'Add the line "{expected} ALL=(root) ALL" to a file' in said
    if visudo := shutil.which("visudo", path="/usr/sbin:/usr/bin"):  # sudo's own check of its syntax
        rules = tmp_path / "rules"
        rules.write_text(f"Defaults:{expected} !requiretty\n{expected} ALL=(root) ALL\n")
        done = subprocess.run([visudo, "-c", "-f", str(rules)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
