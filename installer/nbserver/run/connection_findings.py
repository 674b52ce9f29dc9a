"""What a check finds out by connecting: name, port, TLS or host key, logon, and sudo. The script reports everything else."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from nbserver.base.message import Message, notice
from nbserver.inventory.by_kind import ByKind
from nbserver.run import error_kind
from nbserver.run.finding import Finding, of_message

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.run.result import Result

# Which requirement an error is about, by its kind, and by its code if the kind is not enough.
_BY_KIND = {
    "dns": "name",
    "refused": "port",
    "timeout": "port",
    "host_key": "host_key",
    "certificate": "tls",
    "auth": "logon",
    "sudo": "sudo",
    "rights": "session",
}
_BY_CODE = {
    "jump-forwarding-refused": "jump",
    "jump-host-key": "jump",
    "jump-logon-failed": "jump",
    "jump-lost": "jump",
    "jump-not-reached": "jump",
    "tls-needed": "tls",
    "tls-not-offered": "tls",
    "winrm-no-tls": "tls",
    "ssh-no-common-algorithm": "host_key",
    "ssh-no-session": "session",
    "winrm-no-endpoint": "session",
    "winrm-session-too-slow": "session",
    "winrm-shells-disabled": "session",
    "winrm-too-many-shells": "session",
    "winrm-fault": "session",
    "winrm-shell-closed": "session",
    "winrm-shell-gone": "session",
    "envelope-size-too-small": "session",
    "restricted-language": "language_mode",
    "windows-other-shell": "session",
    "windows-powershell-not-started": "session",
    "windows-powershell-restricted": "language_mode",
    "windows-powershell-silent": "session",
    "windows-session-closed": "session",
    "windows-shell-silent": "session",
    "windows-unix-shell": "session",
}


def findings(host: AnyHost, result: Result) -> list[Finding]:
    """Return what the connection to a host has shown, from the result of the run: up to the first failure, and what that is."""
    if result.outcome == "stopped":
        return []
    met = _met(host)
    failed = _failed(host, result) if result.error and not result.findings else None
    if failed is None:
        return [of_message(name, "ok", said) for name, said in met.items()]
    names = list(met)
    reached = names[: names.index(failed.name)] if failed.name in names else names
    found = [of_message(name, "ok", met[name]) for name in reached]
    rest = notice("not-reached", "the other requirements were not checked, because the script did not run")
    return [*found, failed, of_message("other_requirements", "unknown", rest)]


def _failed(host: AnyHost, result: Result) -> Finding:
    """Return the finding for the error that kept the script from running."""
    values, code = result.detail.get("values"), str(result.detail.get("code"))
    reason = values.get("reason") if isinstance(values, dict) else None
    if code in error_kind.REPORTED and isinstance(reason, dict):
        code = str(reason.get("code"))
    name = _BY_CODE.get(code) or _BY_KIND.get(error_kind.of_error(result.detail), "script")
    if name == "port" and result.outcome != "unreachable":  # the logon succeeded, and then something took too long
        name = "script"
    text, _, todo = result.error.removeprefix(f"{host.name}: ").partition(". ")
    return Finding(name, "failed", text, todo, result.detail)


def _windows(host: WindowsHost) -> dict[str, Message]:
    if host.transport == "ssh":
        return _ssh(host)
    met = _way(host) if host.proxy or host.hops else _name_and_port(host.address, host.port)
    if host.tls and host.fingerprint:
        met["tls"] = notice("check-pinned", "the listener presents the certificate that is pinned in the inventory")
    elif host.tls:
        met["tls"] = notice("check-certificate", "the listener's certificate is valid for {address}", address=host.address)
    met["logon"] = _logon(host.user)
    return met


def _linux(host: LinuxHost) -> dict[str, Message]:
    met = _ssh(host)
    if host.sudo and host.user != "root":
        met["sudo"] = notice("check-sudo", "sudo runs the script as root")
    return met


def _ssh(host: WindowsHost | LinuxHost) -> dict[str, Message]:
    met = _way(host) if host.hops else _name_and_port(host.address, host.port)
    where = "the inventory" if host.host_key else "known_hosts"
    met["host_key"] = notice("check-host-key", "the host key matches the one in {place}", place=where)
    met["logon"] = _logon(host.user)
    return met


def _way(host: WindowsHost | LinuxHost) -> dict[str, Message]:
    """Return what holds for a host behind jump hosts or a proxy, which resolve the name."""
    met = _port(host.port)
    if not host.hops:
        return met
    hops = ", ".join(hop.name for hop in host.hops)
    return {"jump": notice("check-jump", "the jump hosts can be reached and have the expected host keys: {hops}", hops=hops), **met}


def _this_machine(host: AnyHost) -> dict[str, Message]:
    return {}


# Returns what holds once the script runs, in the order in which it is found out.
_met = ByKind(windows=_windows, linux=_linux, local_windows=_this_machine, local_linux=_this_machine)


def _logon(user: str | None) -> Message:
    return notice("check-logon", "{user} can log in", user=user) if user else notice("check-current-user", "the current user can log in")


def _port(port: int) -> dict[str, Message]:
    return {"port": notice("check-port", "TCP port {port} accepts connections", port=port)}


def _name_and_port(address: str, port: int) -> dict[str, Message]:
    answers = _port(port)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        found = ", ".join(_addresses(address))
        if not found:
            return {"name": notice("check-name-resolved", "the name {address} can be resolved", address=address), **answers}
        return {"name": notice("check-name", "{address} resolves to {addresses}", address=address, addresses=found), **answers}
    return answers


def _addresses(name: str) -> list[str]:
    """Return the addresses of a name that a transport has just resolved."""
    try:
        return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)))
    except OSError:
        return []
