"""Turn errors of an SSH connection into messages that say what to do."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, ScriptError
from nbserver.base.message import Message, message
from nbserver.transports import last_words
from nbserver.transports.ssh.logon import AGENT, PASSWORD

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.transports.ssh.logon import Logon

_SHELL_FINDS_NOTHING = 127


def explain(error: BaseException, host: LinuxHost, logon: Logon | None = None) -> HostError:
    """Return the error to show for an exception of asyncssh or a socket. `logon` is given while connecting."""
    name, place = host.name, f"{host.address}:{host.port}"
    if isinstance(error, HostError):
        return error
    if logon is not None and (logon.host_keys.shown or isinstance(error, asyncssh.HostKeyNotVerifiable)):
        return logon.host_keys.refusal(str(error))
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return ConnectError(
            "ssh-no-common-algorithm",
            "this workstation has no encryption algorithm in common with {place}: {reason}",
            host=name,
            todo="Update the SSH server on the host",
            place=place,
            reason=error.reason,
        )
    if isinstance(error, asyncssh.PermissionDenied) or (logon is not None and "Too many authentication failures" in str(error)):
        return _refused(host, place, logon)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or _number(error) == errno.ETIMEDOUT:
        return ConnectError(
            "ssh-no-answer",
            "{place} did not answer within {seconds} s",
            host=name,
            todo="Check that the host is up and that no firewall blocks the port, or increase connect_timeout",
            place=place,
            seconds=f"{host.connect_timeout:g}",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            "name-not-resolved",
            "this workstation could not resolve the name {address}",
            host=name,
            todo="Check address in the inventory, and DNS",
            address=host.address,
        )
    if isinstance(error, ConnectionRefusedError) or _number(error) == errno.ECONNREFUSED:
        return ConnectError(
            "ssh-nothing-listening",
            "nothing is listening on {place}",
            host=name,
            todo="Start the SSH server on the host, or correct port in the inventory",
            place=place,
        )
    if (
        isinstance(error, asyncssh.ChannelOpenError) and error.code != asyncssh.OPEN_CONNECT_FAILED
    ):  # OPEN_CONNECT_FAILED means that the connection was lost
        return ConnectError(
            "ssh-no-session",
            "{user} can log on to {place}, but the host refuses to open a session: {reason}",
            host=name,
            todo="Check sshd's log on the host",
            user=host.user,
            place=place,
            reason=error.reason,
        )
    if isinstance(error, (asyncssh.ProtocolError, asyncssh.ProtocolNotSupported)) and logon is not None:
        return ConnectError(
            "not-ssh",
            "{place} answered, but does not speak SSH: {reason}",
            host=name,
            todo="Check address and port in the inventory",
            place=place,
            reason=error.reason,
        )
    if isinstance(error, (asyncssh.Error, OSError)):
        return ConnectError(
            "connection-lost", "the connection to {place} was lost", host=name, todo="Check the network and try again", place=place
        )
    return ScriptError(
        "protocol-error",
        "the connection failed with a protocol error: {kind}: {reason}",
        host=name,
        todo="Try again",
        kind=type(error).__name__,
        reason=str(error),
    )


def _number(error: BaseException) -> int | None:
    """Return the errno. For a name with several addresses, asyncio raises one error that contains all of them in its text."""
    if not isinstance(error, OSError):
        return None
    for number in (errno.ECONNREFUSED, errno.ETIMEDOUT):
        if error.errno is None and f"[Errno {number}]" in str(error):
            return number
    return error.errno


def _refused(host: LinuxHost, place: str, logon: Logon | None) -> AuthenticationError:
    tried = logon.tried if logon is not None else []
    keys = _keys([way for way in tried if way != PASSWORD])
    if PASSWORD in tried and keys:
        return AuthenticationError(
            "ssh-password-and-keys-rejected",
            "{place} rejected the password of {user}, as well as {keys}",
            host=host.name,
            todo="Check user and password in the inventory, and sshd's log on the host",
            keys=keys,
            place=place,
            user=host.user,
        )
    if PASSWORD in tried:
        return AuthenticationError(
            "ssh-password-rejected",
            "{place} rejected the password of {user}",
            host=host.name,
            todo="Check user and password in the inventory, and sshd's log on the host",
            place=place,
            user=host.user,
        )
    if keys and logon and logon.has_password:
        return AuthenticationError(
            "ssh-keys-rejected-no-passwords",
            "{place} rejected {keys} for {user}; it does not accept passwords",
            host=host.name,
            todo="Add the public key to ~{user}/.ssh/authorized_keys on the host, or correct user and key_file in the inventory",
            keys=keys,
            place=place,
            user=host.user,
        )
    if keys:
        return AuthenticationError(
            "ssh-keys-rejected",
            "{place} rejected {keys} for {user}",
            host=host.name,
            todo="Add the public key to ~{user}/.ssh/authorized_keys on the host, or correct user and key_file in the inventory",
            keys=keys,
            place=place,
            user=host.user,
        )
    if logon and logon.has_password:
        return AuthenticationError(
            "ssh-passwords-not-accepted",
            "{place} does not accept passwords for {user}",
            host=host.name,
            todo="Use key_file or an SSH agent, or allow passwords in sshd's configuration (PasswordAuthentication)",
            place=place,
            user=host.user,
        )
    if host.agent:
        return AuthenticationError(
            "ssh-no-credentials-empty-agent",
            "no credentials for {place}: neither key_file nor password is set, and the SSH agent has no keys",
            host=host.name,
            todo="Set key_file or password in the inventory, or add a key to your SSH agent with ssh-add",
            place=place,
        )
    return AuthenticationError(
        "ssh-no-credentials",
        "no credentials for {place}: neither key_file nor password is set",
        host=host.name,
        todo="Set key_file or password in the inventory, or add a key to your SSH agent with ssh-add",
        place=place,
    )


def _keys(tried: list[str]) -> Message | None:
    """Return which keys the host rejected, if any."""
    if len(tried) > 1:
        return message("ssh-key-file-and-agent", "the key in key_file and the keys in the SSH agent")
    if tried == [AGENT]:
        return message("ssh-agent-keys", "the keys in the SSH agent")
    return message("ssh-key-file", "the key in key_file") if tried else None


def not_started(host: LinuxHost, code: int | None, words: str, *, sudo: bool) -> HostError:
    """Return why the bootstrap did not start. `words` is the error output of the host's shell or of sudo; without a `code`, it is still running."""
    if code == _SHELL_FINDS_NOTHING and sudo:
        return ScriptError(
            "sudo-missing",
            "sudo is not installed on the host: {reason}",
            host=host.name,
            todo="Install sudo on the host, or log on as root",
            reason=words,
        )
    if code == _SHELL_FINDS_NOTHING:
        return ScriptError(
            "bash-missing", "bash is not installed on the host: {reason}", host=host.name, todo="Install bash on the host", reason=words
        )
    refused = _sudo_refuses(host, words) if sudo else None
    if refused:
        return refused
    silence = message("no-output-within", "no output within {seconds} s", seconds=host.connect_timeout)
    reason = last_words.of_exit_code(words, code) if code is not None else words or silence
    if sudo:
        return ScriptError(
            "sudo-did-not-start",
            "sudo did not start the script: {reason}",
            host=host.name,
            todo="Log on as {user} and run: sudo bash -c true",
            reason=reason,
            user=host.user,
        )
    return ScriptError(
        "shell-did-not-start",
        "the host's shell did not start the script: {reason}",
        host=host.name,
        todo="Log on as {user} and run: bash -c true",
        reason=reason,
        user=host.user,
    )


def _sudo_refuses(host: LinuxHost, words: str) -> AuthenticationError | None:
    """Return the error for a refusal of sudo or sudo-rs. Its messages are in English because the command sets LC_ALL=C."""

    def said(*signs: str) -> bool:
        return any(sign in words for sign in signs)

    if said("must have a tty", "you must have a tty"):
        return AuthenticationError(
            "sudo-requires-terminal",
            "sudo requires a terminal for {user} (requiretty)",
            host=host.name,
            todo='Add the line "Defaults:{user} !requiretty" to a file in /etc/sudoers.d on the host',
            user=host.user,
        )
    if said("bash: command not found"):
        return AuthenticationError(
            "sudo-without-bash", "bash is not installed on the host", host=host.name, todo="Install bash on the host"
        )
    if said("not in the sudoers file", "is not allowed to", "may not run sudo", "I'm afraid I can't do that"):
        return AuthenticationError(
            "sudo-not-allowed",
            "sudo does not allow {user} to run bash as root",
            host=host.name,
            todo='Add the line "{user} ALL=(root) ALL" to a file in /etc/sudoers.d on the host, or set another user in the inventory',
            user=host.user,
        )
    return None


def sudo_wants_password(host: LinuxHost) -> AuthenticationError:
    """Return the error for a sudo that asks for a password when none is set."""
    return AuthenticationError(
        "sudo-wants-password",
        "sudo on the host requires the password of {user}, but sudo_password is not set",
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
        todo="Correct sudo_password in the inventory",
        user=host.user,
    )


def sudo_is_silent(host: LinuxHost, words: str) -> AuthenticationError:
    """Return the error for a sudo that neither prompts nor starts the bootstrap: it waits for something other than a password."""
    return AuthenticationError(
        "sudo-silent",
        "sudo on the host did not respond within {seconds} s ({reason})",
        host=host.name,
        todo="Log on as {user} and run: sudo -S bash -c true",
        seconds=f"{host.connect_timeout:g}",
        reason=words or message("no-output", "no output"),
        user=host.user,
    )
