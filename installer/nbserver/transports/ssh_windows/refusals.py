"""Say what to do on a Windows host whose SSH server refused the connection: the advice for Linux hosts does not apply there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbserver.base.errors import AuthenticationError, HostError, HostKeyError

if TYPE_CHECKING:
    from nbserver.inventory.ssh_server import SshServer


def on_windows(error: HostError, server: SshServer) -> HostError:
    """Return the error for a Windows host. Errors whose advice applies to it as well remain as they are."""
    name, place, user = server.name, f"{server.address}:{server.port}", server.user
    if error.code in ("ssh-keys-rejected", "ssh-keys-rejected-no-passwords"):
        return AuthenticationError(
            "windows-ssh-keys-rejected",
            "{place} rejected {keys} for {user}",
            host=name,
            todo="Correct user and key_file in the inventory, or add the public key on the host: for an "
            "administrator, to C:\\ProgramData\\ssh\\administrators_authorized_keys, which only administrators and "
            "SYSTEM may change; for other users, to .ssh\\authorized_keys in their profile",
            place=place,
            keys=error.values["keys"],
            user=user,
        )
    if error.code in ("ssh-logon-refused", "ssh-logon-cut-off"):
        return AuthenticationError(
            "windows-ssh-logon-refused",
            "{place} refused to log {user} in: {reason}",
            host=name,
            todo="On the host, check the event log OpenSSH/Operational, and whether the account is locked or its password has expired",
            place=place,
            user=user,
            reason=error.values["reason"],
        )
    if error.code == "host-key-unknown":
        return HostKeyError(
            "windows-host-key-unknown",
            "the host key for {place} is not known on this workstation ({key})",
            host=name,
            todo='Compare the fingerprint with the output of ssh-keygen -lf C:\\ProgramData\\ssh\\ssh_host_{kind}_key.pub on the host. If they match, set host_key = "{fingerprint}" in the inventory, or {how}',
            place=place,
            key=error.values["key"],
            kind=error.values["kind"],
            fingerprint=error.values["fingerprint"],
            how=error.values["how"],
        )
    return error
