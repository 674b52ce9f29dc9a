"""Turn errors of an SSH connection into messages that say what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, ScriptError
from nbserver.base.message import Message, message
from nbserver.base.plain_text import clean
from nbserver.transports.ssh.logon import AGENT, PASSWORD

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.ssh_server import SshServer
    from nbserver.transports.ssh.logon import Logon


CLOSED = "SSH connection closed"  # what asyncssh says when the connection was lost, and not when the host refuses a session


def explain(error: BaseException, host: LinuxHost | SshServer, logon: Logon | None = None) -> HostError:
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
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return ConnectError(
            "ssh-no-answer",
            "{place} did not answer within {seconds} s",
            host=name,
            todo="Check that the host is up and that no firewall blocks the port, or increase connect_timeout in the inventory",
            place=place,
            seconds=f"{host.connect_timeout:g}",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            "name-not-resolved",
            "this workstation could not resolve the name {address}",
            host=name,
            todo="Check the address in the inventory and the DNS settings of this workstation",
            address=host.address,
        )
    if isinstance(error, ConnectionRefusedError):
        return ConnectError(
            "ssh-nothing-listening",
            "{place} refused the connection",
            host=name,
            todo="Check that the SSH server is running, that no firewall rejects the connection, and that port is correct in the inventory",
            place=place,
        )
    if isinstance(error, asyncssh.ChannelOpenError) and error.reason != CLOSED:
        return ConnectError(
            "ssh-no-session",
            "{user} can log in to {place}, but the host refuses to open a session: {reason}",
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
    if logon is not None and isinstance(error, (asyncssh.Error, OSError)) and not _cut(error, logon):
        return _not_connected(error, host, place, logon)
    if isinstance(error, (asyncssh.Error, OSError)):
        return ConnectError(
            "connection-lost", "the connection to {place} was lost", host=name, todo="Check the network and try again", place=place
        )
    if isinstance(error, UnicodeEncodeError):  # its text has a character of the password
        return AuthenticationError(
            "ssh-logon-not-encodable",
            "the user name or a password for {place} is not valid Unicode, so it cannot be sent",
            host=name,
            todo="Correct user in the inventory, or the secret to which password refers",
            place=place,
        )
    return ScriptError(
        "protocol-error",
        "the connection failed with a protocol error ({kind}: {reason})",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        kind=type(error).__name__,
        reason=str(error),
    )


def _cut(error: BaseException, logon: Logon) -> bool:
    """Return whether the network ended the connection during the logon: a host that refuses the user closes it in order."""
    return isinstance(error, ConnectionError) and bool(logon.tried) and not logon.notice


def _not_connected(
    error: asyncssh.Error | OSError, host: LinuxHost | SshServer, place: str, logon: Logon
) -> ConnectError | AuthenticationError:
    """Return the error for a connection that ended before the user was logged on."""
    if logon.tried:
        return AuthenticationError(
            "ssh-logon-cut-off",
            "{place} closed the connection while {user} was logging in: {reason}",
            host=host.name,
            todo="On the host, check sshd's log, and whether the account has expired (chage -l {user}) or is locked (passwd -S {user})",
            place=place,
            user=host.user,
            reason=clean(logon.notice) or message("no-reason", "no reason was given"),
        )
    if isinstance(error, (asyncssh.Error, ConnectionError)):
        return ConnectError(
            "ssh-closed-early",
            "{place} accepted the connection and closed it before the login",
            host=host.name,
            todo="Check sshd's log on the host. sshd may limit the number of connections (MaxStartups) or block this workstation",
            place=place,
        )
    return ConnectError(
        "ssh-not-reached",
        "could not connect to {place}: {reason}",
        host=host.name,
        todo="Check address and port in the inventory, and this workstation's network connection",
        place=place,
        reason=error.strerror or str(error),
    )


def _refused(host: LinuxHost | SshServer, place: str, logon: Logon | None) -> AuthenticationError:
    if logon is not None and clean(logon.notice):
        return AuthenticationError(
            "ssh-logon-refused",
            "{place} refused to log {user} in: {reason}",
            host=host.name,
            todo="On the host, check whether the account or its password has expired (chage -l {user}). If the host requires a second factor, exempt this account or use another account",
            place=place,
            user=host.user,
            reason=clean(logon.notice),
        )
    tried = logon.tried if logon is not None else []
    keys = _keys([way for way in tried if way != PASSWORD])
    if PASSWORD in tried and keys:
        return AuthenticationError(
            "ssh-password-and-keys-rejected",
            "{place} rejected the password for {user}, as well as {keys}",
            host=host.name,
            todo="Check user and password in the inventory, and sshd's log on the host",
            keys=keys,
            place=place,
            user=host.user,
        )
    if PASSWORD in tried:
        return AuthenticationError(
            "ssh-password-rejected",
            "{place} rejected the password for {user}",
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
            todo="Use key_file or an SSH agent, or allow passwords in the sshd configuration on the host (PasswordAuthentication)",
            place=place,
            user=host.user,
        )
    if host.agent:
        return AuthenticationError(
            "ssh-no-credentials-empty-agent",
            "nbserver has no credentials for {place}: neither key_file nor password is set, and the SSH agent has no keys",
            host=host.name,
            todo="Set key_file or password in the inventory, or add a key to your SSH agent with ssh-add",
            place=place,
        )
    return AuthenticationError(
        "ssh-no-credentials",
        "nbserver has no credentials for {place}: neither key_file nor password is set",
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
