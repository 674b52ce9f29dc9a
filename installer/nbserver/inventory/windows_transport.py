"""Which settings of a Windows host belong to WinRM, and which to SSH."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbserver.base.message import Message, message
from nbserver.inventory import ssh_logon
from nbserver.inventory.ssh_server import PORT

KEEPALIVE = 15  # seconds
# The keys of one kind of transport, with their defaults.
_WINRM: Mapping[str, Any] = {"tls": True, "auth": "negotiate", "ca_file": None, "fingerprint": None, "proxy": None}
_SSH: Mapping[str, Any] = {
    "key_file": None,
    "key_password": None,
    "agent": True,
    "host_key": None,
    "known_hosts": None,
    "keepalive": KEEPALIVE,
}


def default_port(settings: Mapping[str, Any]) -> int:
    """Return the port of a host that does not set one. `settings` are those before `port`."""
    if settings.get("transport") == "ssh":
        return PORT
    return 5986 if settings.get("tls", True) else 5985


def rules(settings: Mapping[str, Any]) -> list[tuple[str, bool, Message]]:
    """Return (key, whether the rule is broken, reason) for each rule about the transport. Missing keys have their defaults."""
    if settings.get("transport") != "ssh":
        only_ssh = message("only-with-ssh", 'requires transport = "ssh"')
        return [(key, settings.get(key, default) != default, only_ssh) for key, default in _SSH.items()]
    only_winrm = message("not-with-ssh", 'cannot be combined with transport = "ssh", because it applies only to WinRM')
    return [
        *((key, settings.get(key, default) != default, only_winrm) for key, default in _WINRM.items()),
        ("transport", settings.get("user") is None, message("ssh-without-user", '"ssh" requires user; set user as well')),
        *ssh_logon.rules(settings),
    ]


def applicable(table: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table that hosts share, without the keys that do not apply to the transport of the host with these settings.

    So [defaults] can have keys for hosts that are reached over WinRM, and for others that are reached over SSH.
    """
    others = {*_WINRM, "configuration_name"} if settings.get("transport") == "ssh" else set(_SSH)
    return {key: value for key, value in table.items() if key not in others}
