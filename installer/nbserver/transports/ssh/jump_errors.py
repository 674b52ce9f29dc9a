"""Turn errors on the way through jump hosts into messages that name the jump host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, HostKeyError
from nbserver.base.message import Message

if TYPE_CHECKING:
    from nbserver.inventory.ssh_server import SshServer


def of_hop(error: HostError, name: str, hop: SshServer) -> HostError:
    """Return the error of a host for one that occurred at its jump host."""
    if error.code.startswith("jump-"):  # it may be that of another host, which was before this one at the same jump host
        return error if error.host == name else type(error).of(error, host=name)
    reason, advice = Message(error.code, error.template, error.values), Message(error.code, error.remedy, error.values)
    if isinstance(error, HostKeyError):
        return HostKeyError(
            "jump-host-key",
            "could not verify the host key of the jump host {hop}: {reason}",
            host=name,
            todo="{advice}",
            hop=hop.name,
            reason=reason,
            advice=advice,
        )
    if isinstance(error, AuthenticationError):
        return AuthenticationError(
            "jump-logon-failed",
            "could not log in to the jump host {hop}: {reason}",
            host=name,
            todo="{advice}",
            hop=hop.name,
            reason=reason,
            advice=advice,
        )
    return ConnectError(
        "jump-not-reached",
        "could not connect to the jump host {hop}: {reason}",
        host=name,
        todo="{advice}",
        hop=hop.name,
        reason=reason,
        advice=advice,
    )


def of_target(error: asyncssh.ChannelOpenError, name: str, hop: str, place: str) -> ConnectError:
    """Return the error of a host for a jump host that opened no connection to `place`: the host, or the next jump host."""
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return ConnectError(
            "jump-forwarding-refused",
            "the jump host {hop} does not allow connections to {place}: {reason}",
            host=name,
            todo="On the jump host, allow TCP forwarding in the sshd configuration (AllowTcpForwarding, PermitOpen) and in the options of the key in authorized_keys (permitopen)",
            hop=hop,
            place=place,
            reason=error.reason,
        )
    return ConnectError(
        "jump-target-refused",
        "the jump host {hop} could not connect to {place}: {reason}",
        host=name,
        todo="Check the address and the port of {place} in the inventory. The jump host, not this workstation, resolves the name and connects",
        hop=hop,
        place=place,
        reason=error.reason,
    )
