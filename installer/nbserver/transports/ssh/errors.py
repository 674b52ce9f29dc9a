"""Turn errors of an SSH connection into messages that say what to do."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, ScriptError

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.transports.ssh.logon import Logon

_SHELL_FINDS_NOTHING = 127
# Messages of sudo and sudo-rs. They are in English because the command sets LC_ALL=C.
_SUDO = (
    (
        ("must have a tty", "you must have a tty"),
        "sudo requires a terminal for {user} (requiretty)",
        'Add the line "Defaults:{user} !requiretty" to a file in /etc/sudoers.d on the host',
    ),
    (("bash: command not found",), "bash is not installed on the host", "Install bash on the host"),
    (
        ("not in the sudoers file", "is not allowed to", "may not run sudo", "I'm afraid I can't do that"),
        "sudo does not allow {user} to run bash as root",
        'Add the line "{user} ALL=(root) ALL" to a file in /etc/sudoers.d on the host, or set another user in the inventory',
    ),
)


def explain(error: BaseException, host: LinuxHost, logon: Logon | None = None) -> HostError:
    """Return the error to show for an exception of asyncssh or a socket. `logon` is given while connecting."""
    name, place = host.name, f"{host.address}:{host.port}"
    if isinstance(error, HostError):
        return error
    if logon is not None and (logon.host_keys.shown or isinstance(error, asyncssh.HostKeyNotVerifiable)):
        return logon.host_keys.refusal(str(error))
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return ConnectError(
            f"no encryption algorithm in common with {place}: {error.reason}", host=name, todo="Update the SSH server on the host"
        )
    if isinstance(error, asyncssh.PermissionDenied) or (logon is not None and "Too many authentication failures" in str(error)):
        return _refused(host, place, logon)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or _number(error) == errno.ETIMEDOUT:
        return ConnectError(
            f"{place} did not answer within {host.connect_timeout:g} s",
            host=name,
            todo="Check that the host is up and that no firewall blocks the port, or increase connect_timeout",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"this workstation could not resolve the name {host.address}", host=name, todo="Check address in the inventory, and DNS"
        )
    if isinstance(error, ConnectionRefusedError) or _number(error) == errno.ECONNREFUSED:
        return ConnectError(
            f"nothing is listening on {place}", host=name, todo="Start the SSH server on the host, or correct port in the inventory"
        )
    if (
        isinstance(error, asyncssh.ChannelOpenError) and error.code != asyncssh.OPEN_CONNECT_FAILED
    ):  # OPEN_CONNECT_FAILED means that the connection was lost
        return ConnectError(
            f"{host.user} can log on to {place}, but the host refuses to open a session: {error.reason}",
            host=name,
            todo="Check sshd's log on the host",
        )
    if isinstance(error, (asyncssh.ProtocolError, asyncssh.ProtocolNotSupported)) and logon is not None:
        return ConnectError(
            f"{place} answered, but does not speak SSH: {error.reason}", host=name, todo="Check address and port in the inventory"
        )
    if isinstance(error, (asyncssh.Error, OSError)):
        return ConnectError(f"the connection to {place} was lost", host=name, todo="Check the network and try again")
    return ScriptError(f"the connection failed with a protocol error: {type(error).__name__}: {error}", host=name, todo="Try again")


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
    if "the password" in tried:
        others = [words for words in tried if words != "the password"]
        also = f", as well as {' and '.join(others)}" if others else ""
        return AuthenticationError(
            f"{place} rejected the password of {host.user}{also}",
            host=host.name,
            todo="Check user and password in the inventory, and sshd's log on the host",
        )
    if tried:
        password = "; it does not accept passwords" if logon and logon.has_password else ""
        return AuthenticationError(
            f"{place} rejected {' and '.join(tried)} for {host.user}{password}",
            host=host.name,
            todo=f"Add the public key to ~{host.user}/.ssh/authorized_keys on the host, or correct user and key_file in the inventory",
        )
    if logon and logon.has_password:
        return AuthenticationError(
            f"{place} does not accept passwords for {host.user}",
            host=host.name,
            todo="Use key_file or an SSH agent, or allow passwords in sshd's configuration (PasswordAuthentication)",
        )
    agent = ", and the SSH agent has no keys" if host.agent else ""
    return AuthenticationError(
        f"no credentials for {place}: neither key_file nor password is set{agent}",
        host=host.name,
        todo="Set key_file or password in the inventory, or add a key to your SSH agent with ssh-add",
    )


def not_started(host: LinuxHost, code: int | None, words: str, *, sudo: bool) -> HostError:
    """Return why the bootstrap did not start. `words` is the error output of the host's shell or of sudo; without a `code`, it is still running."""
    if code == _SHELL_FINDS_NOTHING:
        what, todo = ("sudo", "Install sudo on the host, or log on as root") if sudo else ("bash", "Install bash on the host")
        return ScriptError(f"{what} is not installed on the host: {words}", host=host.name, todo=todo)
    if sudo:
        for signs, what, todo in _SUDO:
            if any(sign in words for sign in signs):
                return AuthenticationError(what.format(user=host.user), host=host.name, todo=todo.format(user=host.user))
    by = "sudo" if sudo else "the host's shell"
    silence = f"no output within {host.connect_timeout} s" if code is None else f"exit code {code}, no error output"
    return ScriptError(
        f"{by} did not start the script: {words or silence}",
        host=host.name,
        todo=f"Log on as {host.user} and run: {'sudo ' if sudo else ''}bash -c true",
    )


def sudo_wants_password(host: LinuxHost) -> AuthenticationError:
    """Return the error for a sudo that asks for a password when none is set."""
    return AuthenticationError(
        f"sudo on the host requires the password of {host.user}, but sudo_password is not set",
        host=host.name,
        todo="Set sudo_password in the inventory, or allow sudo without a password on the host (NOPASSWD in /etc/sudoers.d)",
    )


def sudo_refuses_password(host: LinuxHost) -> AuthenticationError:
    """Return the error for a rejected password. There is only one attempt, because more could lock the account."""
    return AuthenticationError(
        f"sudo on the host rejected sudo_password for {host.user}", host=host.name, todo="Correct sudo_password in the inventory"
    )


def sudo_is_silent(host: LinuxHost, words: str) -> AuthenticationError:
    """Return the error for a sudo that neither prompts nor starts the bootstrap: it waits for something other than a password."""
    return AuthenticationError(
        f"sudo on the host did not respond within {host.connect_timeout:g} s ({words or 'no output'})",
        host=host.name,
        todo=f"Log on as {host.user} and run: sudo -S bash -c true",
    )
