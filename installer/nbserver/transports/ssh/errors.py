"""What went wrong on the way to a Linux host, in words that say what to do."""

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
# sudo's and sudo-rs's own words, in English because the command says LC_ALL=C.
_SUDO = (
    (
        ("must have a tty", "you must have a tty"),
        "sudo wants a terminal for {user} (requiretty)",
        "Put this into a file of /etc/sudoers.d on the host: Defaults:{user} !requiretty",
    ),
    (("bash: command not found",), "there is no bash on the host", "Install bash there"),
    (
        ("not in the sudoers file", "is not allowed to", "may not run sudo", "I'm afraid I can't do that"),
        "sudo does not let {user} run bash as root",
        "Let it, with this line in a file of /etc/sudoers.d on the host: {user} ALL=(root) ALL ; or name another user",
    ),
)


def explain(error: BaseException, host: LinuxHost, logon: Logon | None = None) -> HostError:
    """The error a person sees for what asyncssh or a socket raised. `logon` while connecting."""
    name, place = host.name, f"{host.address}:{host.port}"
    if isinstance(error, HostError):
        return error
    if logon is not None and (logon.host_keys.shown or isinstance(error, asyncssh.HostKeyNotVerifiable)):
        return logon.host_keys.refusal(str(error))
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return ConnectError(
            f"{place} and this workstation share no way to encrypt: {error.reason}", host=name, todo="Update the SSH server on the host"
        )
    if isinstance(error, asyncssh.PermissionDenied) or (logon is not None and "Too many authentication failures" in str(error)):
        return _refused(host, place, logon)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or _number(error) == errno.ETIMEDOUT:
        return ConnectError(
            f"{place} does not answer within {host.connect_timeout:g} s",
            host=name,
            todo="Check that the host is up and a firewall lets this port through, or set connect_timeout higher",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"the name {host.address} is not known to this workstation", host=name, todo="Check address in the inventory, or the DNS"
        )
    if isinstance(error, ConnectionRefusedError) or _number(error) == errno.ECONNREFUSED:
        return ConnectError(f"nothing listens on {place}", host=name, todo="Start the SSH server there, or correct port in the inventory")
    if (
        isinstance(error, asyncssh.ChannelOpenError) and error.code != asyncssh.OPEN_CONNECT_FAILED
    ):  # that one: the connection was lost meanwhile
        return ConnectError(
            f"{place} lets {host.user} log on, but opens no session: {error.reason}", host=name, todo="Look into sshd's log on the host"
        )
    if isinstance(error, (asyncssh.ProtocolError, asyncssh.ProtocolNotSupported)) and logon is not None:
        return ConnectError(
            f"{place} answers, but not as an SSH server: {error.reason}", host=name, todo="Check address and port in the inventory"
        )
    if isinstance(error, (asyncssh.Error, OSError)):
        return ConnectError(f"the connection to {place} broke", host=name, todo="Check the network between, then run this again")
    return ScriptError(f"the connection broke the protocol: {type(error).__name__}: {error}", host=name, todo="Run this again")


def _number(error: BaseException) -> int | None:
    """The errno; where a name has several addresses, asyncio raises one error with all of them in its text."""
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
        also = f", nor {' or '.join(others)}" if others else ""
        return AuthenticationError(
            f"{place} does not accept the password of {host.user}{also}",
            host=host.name,
            todo="Check user and password in the inventory, and sshd's log on the host",
        )
    if tried:
        password = "; it takes no password" if logon and logon.has_password else ""
        return AuthenticationError(
            f"{place} does not accept {' or '.join(tried)} for {host.user}{password}",
            host=host.name,
            todo=f"Add the public key to ~{host.user}/.ssh/authorized_keys on the host, or correct user and key_file in the inventory",
        )
    if logon and logon.has_password:
        return AuthenticationError(
            f"{place} takes no password from {host.user}",
            host=host.name,
            todo="Use key_file or an agent, or let sshd take passwords (PasswordAuthentication)",
        )
    agent = ", and the agent has no key" if host.agent else ""
    return AuthenticationError(
        f"there is nothing to log on to {place} with: neither key_file nor password is set{agent}",
        host=host.name,
        todo="Set key_file or password in the inventory, or add a key to your agent with ssh-add",
    )


def not_started(host: LinuxHost, code: int | None, words: str, *, sudo: bool) -> HostError:
    """Why the bootstrap did not begin: `words` is what the host's shell or sudo complained."""
    if code == _SHELL_FINDS_NOTHING:
        what, todo = ("sudo", "Install sudo there, or log on as root") if sudo else ("bash", "Install bash there")
        return ScriptError(f"there is no {what} on the host: {words}", host=host.name, todo=todo)
    if sudo:
        for signs, what, todo in _SUDO:
            if any(sign in words for sign in signs):
                return AuthenticationError(what.format(user=host.user), host=host.name, todo=todo.format(user=host.user))
    by = "sudo" if sudo else "the host's shell"
    return ScriptError(
        f"{by} did not start the script: {words or f'it ended with code {code} and gave no reason'}",
        host=host.name,
        todo=f"Log on as {host.user} and try: {'sudo ' if sudo else ''}bash -c true",
    )


def sudo_wants_password(host: LinuxHost) -> AuthenticationError:
    """sudo asked, and there is nothing to answer."""
    return AuthenticationError(
        f"sudo on the host wants the password of {host.user}, and there is no sudo_password",
        host=host.name,
        todo="Set sudo_password in the inventory, or allow it without on the host (NOPASSWD in /etc/sudoers.d)",
    )


def sudo_refuses_password(host: LinuxHost) -> AuthenticationError:
    """sudo asked again. One attempt only: more could lock the account."""
    return AuthenticationError(
        f"sudo on the host does not accept sudo_password for {host.user}", host=host.name, todo="Correct sudo_password in the inventory"
    )


def sudo_is_silent(host: LinuxHost, words: str) -> AuthenticationError:
    """Neither the prompt nor the bootstrap came: it waits for something else than a password."""
    return AuthenticationError(
        f"sudo on the host did not go on within {host.connect_timeout:g} s: {words or 'it says nothing'}",
        host=host.name,
        todo=f"Log on as {host.user} and try: sudo -S bash -c true",
    )
