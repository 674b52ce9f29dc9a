"""The template of a host, and the file with its parameters. Neither contains a secret."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbserver import __version__
from nbserver.base.errors import InventoryError, UsageError
from nbserver.base.message import Message, notice, phrase
from nbserver.catalog.choice import numbers
from nbserver.catalog.windows_releases import RELEASES, version
from nbserver.export import launcher
from nbserver.export.azure import machine, network
from nbserver.export.exported import Exported, Limit

if TYPE_CHECKING:
    from nbserver.inventory.azure import AzureSettings
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.render.script import Script

_SCHEMAS = "https://schema.management.azure.com/schemas/2019-04-01/"
# Azure documents no limit. The handler for Linux declares this one, but never checks it (maxScriptSize in
# Azure/run-command-handler-linux, internal/cmds/cmds.go); that for Windows is not public.
LIMIT = Limit(phrase("Azure Run Command"), 262_144)
_MODES = ["apply", "test", "check", "status", "undo", "restart", "stop"]
_DOMAINS = {
    "usgov": "cloudapp.usgovcloudapi.net",
    "usdod": "cloudapp.usgovcloudapi.net",
    "china": "cloudapp.chinacloudapi.cn",
}  # of clouds other than the public one, by how the names of their regions begin
_PARAMETERS = ".azure.parameters.json"
_DIGITS = 4  # of a hash, at the end of a name that was shortened
_SMALLEST_WINDOWS_DISK = 127  # GB, the size of the images


def windows(host: WindowsHost, script: Script) -> list[Exported]:
    """Return the template and the parameters of a Windows host.

    Raises InventoryError if a setting is missing or does not fit, and UsageError if the script is too large.
    """
    if host.azure.disk_size < _SMALLEST_WINDOWS_DISK:
        raise InventoryError(
            "azure-disk-too-small",
            "azure.disk_size is {size} GB, which is too small for Windows",
            where=host.name,
            todo="Set azure.disk_size to at least {least} in the inventory",
            size=host.azure.disk_size,
            least=_SMALLEST_WINDOWS_DISK,
        )
    image = host.azure.image or ("windows-2022" if host.windows == "2022" else "windows-2025")
    _require_new_enough(host, image)
    return _exported(host, script, System("windows", image, 15), launcher.windows(script, mode="apply"))


def _require_new_enough(host: WindowsHost, image: str) -> None:
    """Raise InventoryError if the script would refuse the machine after Azure has created it, because its Windows is too old."""
    release = image.removeprefix("windows-")
    if release not in RELEASES or not host.windows or numbers(version(release)) >= numbers(version(host.windows)):
        return
    raise InventoryError(
        "azure-image-too-old",
        'azure.image is "{image}", which is older than windows = "{windows}", so the script would refuse the virtual machine',
        where=host.name,
        todo="Set azure.image to a newer release, or windows to an older one",
        image=image,
        windows=host.windows,
    )


def linux(host: LinuxHost, script: Script) -> list[Exported]:
    """Return the template and the parameters of a Linux host. Raises what `windows` raises."""
    system = System("linux", host.azure.image or "ubuntu-24.04", 60)
    return _exported(host, script, system, launcher.linux(script, mode="apply"))


@dataclass(frozen=True)
class System:
    """What depends on the system of a host. `longest_name` is the maximum length of the name of a machine."""

    name: str
    image: str
    longest_name: int


def _exported(host: WindowsHost | LinuxHost, script: Script, system: System, launched: bytes) -> list[Exported]:
    _require(host, system)
    template = _template(host, script, system, launched.decode("ascii"))
    found = Exported(f"{host.name}.azure.json", _json(template), host.name, script.sha256, LIMIT, len(launched))
    found.require_fit()
    return [found, Exported(f"{host.name}{_PARAMETERS}", _json(_parameters_file(host, system)), host.name)]


def warning(host: AnyHost) -> Message | None:
    """Return a warning if the image of a host gets no more fixes, or None."""
    own: AzureSettings | None = getattr(host, "azure", None)
    if own is None or own.image not in machine.ENDED:
        return None
    return notice(
        "azure-image-ended",
        "{name}: the publisher of the image {image} has released no fixes since {date}. Set azure.image to another image",
        name=host.name,
        image=own.image,
        date=machine.ENDED[own.image],
    )


def public_name(host: WindowsHost | LinuxHost) -> str:
    """Return the public DNS name of a host whose settings are complete."""
    domain = next((domain for begin, domain in _DOMAINS.items() if str(host.azure.location).startswith(begin)), "cloudapp.azure.com")
    return f"{host.azure.dns_label}.{host.azure.location}.{domain}"


def different(files: Iterable[Exported]) -> Iterator[Exported]:
    """Yield the files. Raises UsageError if two hosts would be the same virtual machine: the second deployment would change the first."""
    hosts: dict[str, str] = {}
    for file in files:
        if file.name.endswith(_PARAMETERS):
            machine_name = json.loads(file.data)["parameters"]["vmName"]["value"]
            other = hosts.setdefault(machine_name, file.host)
            if other != file.host:
                raise UsageError(
                    "azure-same-machine",
                    "the name of the virtual machine would be {machine}, as for the host {other}",
                    where=file.host,
                    todo="Rename one of the hosts, or export them separately and deploy them to different resource groups",
                    machine=machine_name,
                    other=other,
                )
        yield file


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("ascii")


def _require(host: WindowsHost | LinuxHost, system: System) -> None:
    missing = [f"azure.{key}" for key in ("location", "dns_label", "sources") if not getattr(host.azure, key)]
    if missing:
        raise InventoryError(
            "azure-settings-missing",
            "the host lacks required settings: {keys}",
            where=host.name,
            todo="Set them in [hosts.{name}.azure] in the inventory",
            keys=", ".join(missing),
            name=host.name,
        )
    name = public_name(host)
    if not host.notebook.public_url or urlsplit(host.notebook.public_url).netloc not in (name, f"{name}:{network.PUBLIC_PORT}"):
        raise InventoryError(
            "azure-public-url",
            "notebook.public_url must contain the virtual machine's public DNS name, because the certificate is issued for that name",
            where=host.name,
            todo='Set notebook.public_url = "https://{address}"',
            address=name,
        )
    if system.image.startswith("windows") != (system.name == "windows"):
        raise InventoryError(
            "azure-image-of-other-system",
            'azure.image is "{image}", but the host has system = "{system}"',
            where=host.name,
            todo="Set azure.image to an image for {system}",
            image=system.image,
            system=system.name,
        )
    if host.architecture != "x64":
        raise InventoryError(
            "azure-arm64",
            'the export supports only x64 virtual machines, but the host has architecture = "{architecture}"',
            where=host.name,
            todo='Set architecture = "x64"',
            architecture=host.architecture,
        )


def _sources(host: WindowsHost | LinuxHost) -> list[str]:
    """Return the IPv4 sources: the public address is IPv4. Raises InventoryError if there are others."""
    if any(ipaddress.ip_network(source).version != 4 for source in host.azure.sources):
        raise InventoryError(
            "azure-source-ipv6",
            "azure.sources contains an IPv6 address, but the virtual machine has only a public IPv4 address",
            where=host.name,
            todo="List only IPv4 addresses and networks",
        )
    return list(host.azure.sources)


def _machine_name(host: WindowsHost | LinuxHost, system: System) -> str:
    """Return the name of the machine. One that is too long is shortened, and gets a part of a hash. Windows refuses a number."""
    name = "".join(character if character.isalnum() else "-" for character in host.name.lower()).strip("-")
    if system.name == "windows" and name.isdecimal():
        name = f"nb-{name}"
    if len(name) <= system.longest_name:
        return name
    digest = hashlib.sha256(host.name.lower().encode("utf-8")).hexdigest()[:_DIGITS]
    return f"{name[: system.longest_name - _DIGITS - 1].strip('-')}-{digest}"


def _text(description: str, default: str | None = None, kind: str = "string", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, **more, "metadata": {"description": description}}
    return found if default is None else {**found, "defaultValue": default}


def _parameters(host: WindowsHost | LinuxHost, system: System) -> dict[str, Any]:
    own = host.azure
    login = (
        {"adminPassword": _text("Password of the administrator", kind="securestring")}
        if system.name == "windows"
        else {"adminPublicKey": _text("Public SSH key of the administrator, such as ssh-ed25519 AAAA...")}
    )
    return {
        "location": _text("Region of all resources", own.location),
        "vmName": _text("Name of the virtual machine", _machine_name(host, system), minLength=1, maxLength=system.longest_name),
        "vmSize": _text("Size of the virtual machine", own.size),
        "image": {
            "type": "object",
            "defaultValue": machine.image(system.image),
            "metadata": {"description": "Image of the marketplace, of generation 2"},
        },
        "diskSizeGB": {"type": "int", "defaultValue": own.disk_size, "metadata": {"description": "Size of the disk in GB"}},
        "diskType": _text("Type of the disk", own.disk_type),
        "encryptionAtHost": {
            "type": "bool",
            "defaultValue": own.encryption_at_host,
            "metadata": {
                "description": "Encrypt temporary disk and caches as well; requires the feature EncryptionAtHost of the subscription"
            },
        },
        "dnsLabel": _text("First part of the public DNS name; the certificate has this name", own.dns_label),
        "allowedSources": {
            "type": "array",
            "defaultValue": _sources(host),
            "minLength": 1,
            "metadata": {"description": "IPv4 addresses and networks that may reach the notebook server"},
        },
        "adminUser": _text("Administrator of the virtual machine", own.admin_user),
        **login,
        "notebookPasswordHash": _text("Hash of the notebook password, as nbserver hash-password prints it", kind="securestring"),
        "mode": _text("Mode of the script", "apply", allowedValues=_MODES),
        "run": _text("ID of the run; a host runs each ID once", "[concat('azure-', utcNow('yyyyMMddTHHmmss'))]", maxLength=64),
    }


def _template(host: WindowsHost | LinuxHost, script: Script, system: System, launched: str) -> dict[str, Any]:
    address = f"reference({network.resource_id('publicIPAddresses', 'ip')[1:-1]}, '{network.API}').dnsSettings.fqdn"
    return {
        "$schema": f"{_SCHEMAS}deploymentTemplate.json#",
        "contentVersion": f"{__version__}.0",
        "metadata": {"description": f"The notebook server {host.name}, set up by nbserver {__version__}"},
        "parameters": _parameters(host, system),
        "resources": [
            *network.resources(host.notebook.port),
            *machine.resources(system.name, launched, host.timeout, trusted=host.azure.trusted_launch),
        ],
        "outputs": {
            "url": {"type": "string", "value": f"[concat('https://', {address})]"},
            "scriptSha256": {"type": "string", "value": script.sha256},
            "launcherSha256": {"type": "string", "value": launcher.launcher_sha256(script.extension)},
            "run": {"type": "string", "value": "[parameters('run')]"},
        },
    }


def _parameters_file(host: WindowsHost | LinuxHost, system: System) -> dict[str, Any]:
    """Return the values that a site may change. Secrets are references to a key vault, or are passed to the deployment."""
    values: dict[str, Any] = {
        "location": {"value": host.azure.location},
        "vmName": {"value": _machine_name(host, system)},
        "dnsLabel": {"value": host.azure.dns_label},
        "allowedSources": {"value": _sources(host)},
    }
    if host.azure.key_vault:
        secret = {"keyVault": {"id": host.azure.key_vault}, "secretName": host.azure.key_vault_secret}
        values["notebookPasswordHash"] = {"reference": secret}
    return {"$schema": f"{_SCHEMAS}deploymentParameters.json#", "contentVersion": "1.0.0.0", "parameters": values}
