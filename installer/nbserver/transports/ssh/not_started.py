"""Say why the bootstrap did not start on a host: because of its shell, its sudo, or the account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbserver.base.errors import AuthenticationError, HostError, ScriptError
from nbserver.base.message import Described, message
from nbserver.transports import last_words

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost

_IS_CSH = 97  # how the bootstrap ends in csh
_SHELL_FINDS_NOTHING = 127


def not_started(host: LinuxHost, code: int | None, words: str, *, sudo: bool, answered: bool = False) -> HostError:
    """Return why the bootstrap did not start.

    `words` is the error output of the host's shell or of sudo, in which sudo may repeat the whole command. Without a `code`, it is
    still running. `answered` is whether sudo received a password.
    """
    silence = message("no-output-within", "no output within {seconds} s", seconds=f"{host.connect_timeout:g}")
    reason = last_words.of_exit_code(words, code) if code is not None else last_words.end_of(words) or silence
    refused = _no_bash(host, code, words, sudo=sudo) or _account_refused(host, words)
    if not refused and sudo:
        refused = _sudo_refuses(host, words, answered=answered)
    if refused:
        return refused
    if code == 0:  # the bootstrap never exits with code 0 before it is ready
        return _another_command(host, reason)
    if sudo:
        return ScriptError(
            "sudo-did-not-start",
            "sudo did not start the script: {reason}",
            host=host.name,
            todo="Log in to the host as {user}, and check the output of: sudo bash -c true",
            reason=reason,
            user=host.user,
        )
    return ScriptError(
        "shell-did-not-start",
        "the host's shell did not start the script: {reason}",
        host=host.name,
        todo="On the host, check the login shell of {user}, command= in ~{user}/.ssh/authorized_keys, and ForceCommand in the sshd configuration",
        reason=reason,
        user=host.user,
    )


def _no_bash(host: LinuxHost, code: int | None, words: str, *, sudo: bool) -> HostError | None:
    """Return the error for a host without bash, with a login shell that cannot start it, or where it cannot start anything."""
    if code == _IS_CSH:
        return ScriptError(
            "login-shell-is-csh",
            "the login shell of {user} on the host is csh or tcsh, which cannot start the script",
            host=host.name,
            todo="On the host, run sudo chsh -s /bin/bash {user}, or set another user in the inventory",
            user=host.user,
        )
    if code == _SHELL_FINDS_NOTHING and sudo:
        return ScriptError(
            "sudo-missing",
            "sudo is not installed on the host: {reason}",
            host=host.name,
            todo="Install sudo on the host, or log in as root",
            reason=last_words.end_of(words),
        )
    if code == _SHELL_FINDS_NOTHING:
        return ScriptError(
            "bash-missing",
            "bash is not installed on the host: {reason}",
            host=host.name,
            todo="Install bash on the host",
            reason=last_words.end_of(words),
        )
    if sudo and "bash cannot start sha256sum" in words and "Permission denied" in words:
        return AuthenticationError(
            "sudo-noexec",
            "sudo allows {user} to run bash, but bash cannot start other programs (NOEXEC)",
            host=host.name,
            todo='Add the line "{sudoers_user} ALL=(root) EXEC: ALL" to a file in /etc/sudoers.d on the host, or remove noexec from the Defaults in the sudoers files',
            user=host.user,
            sudoers_user=in_sudoers(host.user),
        )
    return None


def in_sudoers(user: str) -> str:
    """Return a user as sudoers(5) has it: characters that have a meaning there are escaped with a backslash."""
    return re.sub(r'([!=:,()\\"\s])', r"\\\1", user)


def _account_refused(host: LinuxHost, words: str) -> AuthenticationError | None:
    """Return the error for an account that may log on, but not run anything, or not with sudo."""
    if _said(words, "password has expired", "assword change required", "assword is expired", "Password expired"):
        return AuthenticationError(
            "password-expired",
            "the password for {user} on the host has expired: {reason}",
            host=host.name,
            todo="Log in as {user} with ssh and change the password, then update it in the inventory",
            user=host.user,
            reason=last_words.end_of(words),
        )
    if _said(words, "ccount has expired", "Account expired", "account validation failure", "account management error", "account is locked"):
        return AuthenticationError(
            "account-refused",
            "the host does not accept the account {user}: {reason}",
            host=host.name,
            todo="On the host, check whether the account has expired (chage -l {user}) or is locked (passwd -S {user})",
            user=host.user,
            reason=last_words.end_of(words),
        )
    return None


def _another_command(host: LinuxHost, reason: Described | str) -> ScriptError:
    return ScriptError(
        "another-command-ran",
        "the host ran a different command instead of nbserver's: {reason}",
        host=host.name,
        todo="On the host, check what replaces the command: command= in ~{user}/.ssh/authorized_keys, ForceCommand in the "
        "sshd configuration, or the login shell of {user}",
        user=host.user,
        reason=reason,
    )


def _said(words: str, *signs: str) -> bool:
    return any(sign in words for sign in signs)


def _sudo_refuses(host: LinuxHost, words: str, *, answered: bool) -> AuthenticationError | None:
    """Return the error for a refusal of sudo or sudo-rs. Its messages are in English because the command sets LC_ALL=C."""
    if answered and _said(words, "incorrect password attempt", "incorrect authentication attempt"):
        return sudo_refuses_password(host)
    if _said(words, "must have a tty", "you must have a tty"):
        return AuthenticationError(
            "sudo-requires-terminal",
            "sudo requires a terminal for {user} (requiretty)",
            host=host.name,
            todo='Add the line "Defaults:{sudoers_user} !requiretty" to a file in /etc/sudoers.d on the host',
            user=host.user,
            sudoers_user=in_sudoers(host.user),
        )
    if _said(words, "bash: command not found"):
        return AuthenticationError(
            "sudo-without-bash", "bash is not installed on the host", host=host.name, todo="Install bash on the host"
        )
    if _said(words, "not in the sudoers file", "is not allowed to", "may not run sudo", "I'm afraid I can't do that"):
        return AuthenticationError(
            "sudo-not-allowed",
            "sudo does not allow {user} to run bash as root",
            host=host.name,
            todo='Add the line "{sudoers_user} ALL=(root) ALL" to a file in /etc/sudoers.d on the host, or set another user in the inventory',
            user=host.user,
            sudoers_user=in_sudoers(host.user),
        )
    return None


def sudo_wants_password(host: LinuxHost) -> AuthenticationError:
    """Return the error for a sudo that asks for a password when none is set."""
    return AuthenticationError(
        "sudo-wants-password",
        "sudo on the host requires the password for {user}, but sudo_password is not set",
        host=host.name,
        todo="Set sudo_password in the inventory, or allow sudo without a password on the host (NOPASSWD in /etc/sudoers.d)",
        user=host.user,
    )


def sudo_refuses_password(host: LinuxHost) -> AuthenticationError:
    """Return the error for a rejected password. There is only one attempt, because more could lock the account."""
    return AuthenticationError(
        "sudo-rejected-password",
        "sudo on the host rejected sudo_password for {user}",
        host=host.name,
        todo="Correct sudo_password in the inventory. On SLES and openSUSE, sudo may require the password of root (targetpw)",
        user=host.user,
    )


def sudo_waits(host: LinuxHost, output: bytes) -> AuthenticationError:
    """Return the error for a sudo that neither asks for the password nor starts the bootstrap. An incomplete line is a question."""
    words = last_words.text_of(output)
    refused = _account_refused(host, words)
    if refused:
        return refused
    question = last_words.text_of(output.rpartition(b"\n")[2])
    if question:
        return AuthenticationError(
            "sudo-asks-more",
            'sudo on the host asks {user} for something other than a password: "{question}"',
            host=host.name,
            todo="Exempt {user} from sudo's second factor on the host, or allow sudo without a password (NOPASSWD in /etc/sudoers.d)",
            user=host.user,
            question=last_words.end_of(question),
        )
    return AuthenticationError(
        "sudo-silent",
        "sudo on the host did not respond within {seconds} s ({reason})",
        host=host.name,
        todo="Log in to the host as {user}, and check the output of: sudo -S bash -c true",
        seconds=f"{host.connect_timeout:g}",
        reason=last_words.end_of(words) or message("no-output", "no output"),
        user=host.user,
    )


def sudo_asks_twice(host: LinuxHost) -> AuthenticationError:
    """Return the error for a sudo that asks again, but has not rejected the first answer: by default, -p replaces each question."""
    return AuthenticationError(
        "sudo-asks-twice",
        "sudo on the host asks {user} for a second secret after the password, such as a one-time code",
        host=host.name,
        todo="Exempt {user} from sudo's second factor on the host, or allow sudo without a password (NOPASSWD in /etc/sudoers.d)",
        user=host.user,
    )
