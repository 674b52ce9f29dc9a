"""The target of a host: where nbserver connects, how, as whom, and how the host proves who it is. It has no secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nbserver.base import strict_json
from nbserver.base.message import Message, message
from nbserver.inventory.by_kind import ByKind
from nbserver.render.settings import Sha256
from nbserver.settings.faults import faults
from nbserver.settings.types import ConfigurationName, Fingerprint, HostName, ProxyUrl, Settings

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost

LOCAL = frozenset({"address", "transport"})
SSH = LOCAL | {"port", "user", "host_key", "sudo", "jump"}
WINRM = LOCAL | {"port", "tls", "auth", "user", "fingerprint", "ca_sha256", "proxy", "jump"}
KEYS: dict[str, frozenset[str]] = {"local": LOCAL, "ssh": SSH, "winrm": WINRM, "psrp": WINRM | {"configuration_name"}}
"""The keys that apply to each transport. All others are null."""
ALWAYS = frozenset({"port", "tls", "auth", "sudo", "configuration_name"})  # never null where they apply


def _host_key(text: str) -> str:
    from nbserver.inventory.host_key import public_host_key

    return public_host_key(text)


class Target(Settings):
    """The target of a host in the manifest. Every key is there; one that does not apply to the transport is null.

    Only `jump` is missing if it does not apply: releases before 0.6.0 did not have it.
    """

    address: HostName = Field(description="a DNS name or an IP address")
    auth: Literal["negotiate", "kerberos", "ntlm", "basic"] | None = Field(description="negotiate, kerberos, ntlm, basic, or null")
    ca_sha256: Sha256 | None = Field(description="64 lower-case hex digits, or null")
    configuration_name: ConfigurationName | None = Field(description="the name of a PowerShell session configuration, or null")
    fingerprint: Fingerprint | None = Field(description="SHA256: and 64 lower-case hex digits, or null")
    host_key: Annotated[str, AfterValidator(_host_key)] | None = Field(description="a fingerprint, a public key, or null")
    jump: str = Field(default="", min_length=1, description="the jump hosts, separated by commas")
    port: int | None = Field(ge=1, le=65535, description="a whole number from 1 to 65535, or null")
    proxy: ProxyUrl | None = Field(description="a URL such as http://proxy.example.com:3128, without credentials, or null")
    sudo: bool | None = Field(description="true, false, or null")
    tls: bool | None = Field(description="true, false, or null")
    transport: Literal["psrp", "winrm", "ssh", "local"] = Field(description="psrp, winrm, ssh, or local")
    user: str | None = Field(description="a user name, or null")


def _windows(host: WindowsHost) -> dict[str, Any]:
    if host.transport == "ssh":
        return {**_of(host, SSH - {"sudo"}), "sudo": False}
    return {
        "ca_sha256": hashlib.sha256(host.authorities).hexdigest() if host.authorities is not None else None,
        **_of(host, WINRM | KEYS[host.transport]),
    }


def _linux(host: LinuxHost) -> dict[str, Any]:
    return _of(host, SSH)


def _local(host: LocalLinuxHost | LocalWindowsHost) -> dict[str, Any]:
    return _of(host, LOCAL)


def _of(host: Any, keys: Iterable[str]) -> dict[str, Any]:
    found = {key: getattr(host, key) for key in keys if key not in ("ca_sha256", "jump")}
    hops = host.hops if "jump" in keys else ()
    return {**found, "jump": ", ".join(hop.text for hop in hops)} if hops else found


_by_kind = ByKind(windows=_windows, linux=_linux, local_windows=_local, local_linux=_local)


def of(host: WindowsHost | LinuxHost | LocalLinuxHost | LocalWindowsHost) -> dict[str, Any]:
    """Return the target of a host as plain JSON values, in the form of `Target`."""
    return dict.fromkeys(key for key in Target.model_fields if key != "jump") | _by_kind(host)


def first_fault(value: Any) -> Message | None:
    """Return the first error as `KEY: problem`, or None if `of` could return exactly this value for some host."""
    if not isinstance(value, dict):
        return message("target-no-table", "must be a table")
    found = faults(value, Target, {}, missing=True)
    if found:
        return found[0][1]
    plain = Target.model_validate(value).model_dump(mode="json", exclude_unset=True)
    different = difference(value, plain)
    if different:
        return message("target-not-canonical", "{key}: must be in the form that nbserver render writes", key=different)
    for key in sorted(value):
        fault = _fault_of_key(value, key)
        if fault:
            return fault
    return None


def _fault_of_key(value: Mapping[str, Any], key: str) -> Message | None:
    transport = value["transport"]
    if value[key] is not None and key not in KEYS[transport]:
        return message("target-key-not-null", '{key}: must be null with transport = "{transport}"', key=key, transport=transport)
    needed = key in ALWAYS or (key == "user" and transport == "ssh")
    if value[key] is None and needed and key in KEYS[transport]:
        return message("target-key-null", '{key}: must not be null with transport = "{transport}"', key=key, transport=transport)
    return None


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return the first key whose values differ, or None."""
    return next((key for key in sorted(one.keys() | other.keys()) if not strict_json.same(one.get(key), other.get(key))), None)
