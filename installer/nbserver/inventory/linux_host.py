"""The settings of a Linux host: names, types, valid values and defaults.

The title of a field says what it sets; docs/inventory.md and the JSON Schema have it. The description follows "expected" in error
messages, and is also in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from nbserver.base.message import Message, message
from nbserver.inventory import package_choice, ssh_logon, time_limits
from nbserver.inventory.azure import AzureSettings
from nbserver.inventory.host_key import HOST_KEY, HostKey
from nbserver.inventory.package_choice import PackageChoice
from nbserver.inventory.service_limits import ServiceSettings
from nbserver.inventory.ssh_server import SshServer, user_name
from nbserver.inventory.windows_tables import (
    JUMP,
    JUMP_TITLE,
    DownloadsSettings,
    HostCertificateSettings,
    Jump,
    NotebookSettings,
    download_rules,
)
from nbserver.settings.refusal import contradiction, refuse
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import (
    Array,
    FilePath,
    HostName,
    RemoteAddress,
    Settings,
    VersionPrefix,
    WebAddress,
    one_firewall_rule,
    unlike,
)

_REFERENCE = str(NotebookSettings.model_fields["password"].description)
_SECONDS = "a number of seconds from 1 to 600"


# The host checks again, including links and owners (prelude/paths.sh); these names are wrong on every host.
_SYSTEM = re.compile(
    r"/(bin|boot|dev|efi|etc|lib|lib[0-9x][^/]*|proc|run|sbin|snap|sys|tmp|usr|var/(backups|cache|crash|lock|log|mail|run|spool|tmp)|opt/nbserver"
    r"|var/lib(/nbserver)?(?=$)|var/lib/nbserver/(state|work))(/|$)"
)


def linux_folder(text: str) -> str:
    """Return the absolute path of a folder that does not belong to the system."""
    if text.startswith(("~", "$")):
        raise refuse("path-with-shell-variable", "must begin with /: neither ~ nor variables are expanded")
    if _SYSTEM.match(absolute_folder(text)):
        raise refuse("folder-of-system", "must not be a system folder, one of nbserver's own folders, or a folder inside one of them")
    return text


def absolute_folder(text: str) -> str:
    """Return an absolute path with at least two components, at most 200 characters, and without . and .. components."""
    if len(text) > 200:
        raise refuse("path-too-long", "must not be longer than 200 characters")
    if not text.startswith("/"):
        if re.match(r"[A-Za-z]:|\\|%", text):
            raise refuse("path-of-windows", "must be a Linux path such as /srv/notebooks, not a Windows path")
        raise refuse("path-not-absolute", "must be an absolute path")
    if text.endswith("/") or "//" in text:
        raise refuse("path-empty-component", "must not end in / or contain an empty component")
    if any(part in (".", "..") for part in text.split("/")):
        raise refuse("path-dots", "must not contain . or .. as a component")
    if text.count("/") < 2:
        raise refuse("path-below-root", "must not be directly under /; choose a deeper folder, such as /srv/notebooks")
    if any(len(part.encode("utf-8", "replace")) > 255 for part in text.split("/")):
        raise refuse("path-component-too-long", "must not have a component of more than 255 bytes")
    return text


def own_folder(text: str) -> str:
    """Return the absolute path of a folder, or a path that begins with ~/ (the home folder of the user)."""
    return text[:1] + absolute_folder("/home" + text[1:])[5:] if text.startswith("~/") else absolute_folder(text)


def _no_word_of_windows(text: str) -> str:
    if text == "LocalSubnet":
        raise refuse(
            "local-subnet-on-linux", '"LocalSubnet" is valid only for Windows hosts; enter the network instead, such as 192.0.2.0/24'
        )
    return text


class LinuxPythonSettings(Settings):
    version: VersionPrefix | None = Field(
        default=None,
        title="The version of Python",
        description='a version or version prefix, such as "3.13" (default: python3 of the distribution, or its newest Python if that is older than 3.10)',
    )


class LinuxPackagesSettings(PackageChoice):
    source: Literal["auto", "distribution", "wheels"] = Field(
        default="auto",
        title="Where packages come from: wheels of the lock, or the packages of the distribution",
        description="auto (same as wheels), distribution, or wheels",
    )
    index_url: WebAddress | None = Field(
        default=None,
        title="The package index for wheels (default: the index of pip and uv)",
        description="the URL of a package index, without credentials",
    )
    installer: Literal["auto", "uv", "pip"] = Field(
        default="auto", title="What installs wheels; auto is uv", description="auto, uv, or pip"
    )


class LinuxNotebookSettings(NotebookSettings):
    directory: Annotated[str, AfterValidator(linux_folder)] = Field(
        default="/var/lib/nbserver/notebooks",
        title="The folder of the notebooks",
        description="the absolute path of a folder on the host, such as /srv/notebooks",
    )


class LinuxFirewallSettings(Settings):
    remote_addresses: Annotated[
        tuple[Annotated[RemoteAddress, AfterValidator(_no_word_of_windows)], ...], AfterValidator(one_firewall_rule), Array
    ] = Field(
        default=("Any",),
        title="Who may connect to the port of the notebook server",
        description='an array of IP addresses and networks such as 192.0.2.0/24, or "Any"',
    )


class LinuxHostSettings(Settings):
    """The keys of [defaults], [groups.NAME] and [hosts.NAME] for Linux hosts."""

    system: Literal["linux"] = Field(title="The operating system of the host", description='"windows" or "linux"')
    address: HostName = Field(
        title="Where the host is; also a name in the certificate of the notebook server",
        description="a DNS name or an IP address, without a scheme or port",
    )
    transport: Literal["ssh"] = Field(default="ssh", title="How nbserver reaches the host", description='"ssh"')
    port: int = Field(
        default=22, ge=1, le=65535, title="The port of the SSH server", description="a whole number from 1 to 65535 (default: 22)"
    )
    user: Annotated[str, AfterValidator(user_name)] = Field(
        title="Who logs in over SSH", description="the name of a user who can log in over SSH"
    )
    key_file: FilePath | None = Field(
        default=None, title="The private key for the login", description="the path of a private key file, relative to the inventory"
    )
    key_password: SecretReference | None = Field(default=None, title="The password that opens key_file", description=_REFERENCE)
    agent: bool = Field(
        default=True,
        title="Whether to try the keys of the SSH agent",
        description="true or false (whether to try the keys of the SSH agent)",
    )
    password: SecretReference | None = Field(default=None, title="The password of user", description=_REFERENCE)
    host_key: HostKey | None = Field(
        default=None,
        title="The only key that the host may show; cannot be combined with known_hosts",
        description=HOST_KEY,
    )
    known_hosts: FilePath | None = Field(
        default=None,
        title="Where the keys of hosts are looked up",
        description="the path of a known_hosts file (default: ~/.ssh/known_hosts)",
    )
    jump: Jump | None = Field(default=None, title=JUMP_TITLE, description=JUMP)
    connect_timeout: int = Field(
        default=20,
        ge=1,
        le=600,
        title="How many seconds connecting to an address of the host and logging in may take",
        description=f"{_SECONDS} (default: 20)",
    )
    connect_retries: int | None = time_limits.connect_retries()
    step_timeout: int | None = time_limits.step_timeout()
    timeout: int = time_limits.timeout()
    keepalive: int = Field(
        default=15,
        ge=1,
        le=600,
        title="After how many seconds of silence nbserver sends a request to the host",
        description=f"{_SECONDS} (default: 15)",
    )
    sudo: bool = Field(
        default=True, title="Whether the script runs with sudo; root does not need it", description="true or false (root does not need it)"
    )
    sudo_password: SecretReference | None = Field(default=None, title="The password that sudo asks for", description=_REFERENCE)
    architecture: Literal["x64", "arm64"] = Field(default="x64", title="The processor architecture of the host", description="x64 or arm64")
    scope: Literal["machine"] = Field(default="machine", title="Whose notebook server it is: that of the machine", description='"machine"')
    skip: Annotated[tuple[Literal["firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), title="Steps to leave out", description='an array that is empty or contains "firewall"'
    )
    python: LinuxPythonSettings = LinuxPythonSettings()
    packages: LinuxPackagesSettings = LinuxPackagesSettings()
    downloads: DownloadsSettings = DownloadsSettings()
    certificate: HostCertificateSettings = HostCertificateSettings()
    notebook: LinuxNotebookSettings
    firewall: LinuxFirewallSettings = LinuxFirewallSettings()
    service: ServiceSettings = ServiceSettings()
    azure: AzureSettings = AzureSettings()


class LinuxHost(LinuxHostSettings):
    """One host with all settings, validated. Paths are absolute."""

    kind: ClassVar = "linux"

    name: str = Field(description="the name of the host in the inventory")
    hops: tuple[SshServer, ...] = Field(default=(), description="the jump hosts, the nearest to the workstation first")

    @property
    def reboot(self) -> Literal["never"]:
        """The script never restarts a Linux host."""
        return "never"

    @model_validator(mode="after")
    def _fit_together(self) -> LinuxHost:
        broken = contradictions(dict(self))
        if broken:
            raise contradiction(broken)
        return self


def contradictions(settings: Mapping[str, Any]) -> list[tuple[str, Message]]:
    """Return (key, reason) for every rule between settings that a Linux host violates. Missing keys have their defaults."""
    has_sudo_password = settings.get("sudo_password") is not None
    root = settings.get("user") == "root"
    no_sudo = settings.get("sudo", True) is False
    rules = [
        *ssh_logon.rules(settings),
        (
            "sudo",
            no_sudo and not root,
            message("no-sudo-without-root", 'must be true unless user = "root"; remove this key, or set user = "root"'),
        ),
        (
            "sudo_password",
            has_sudo_password and (no_sudo or root),
            message("sudo-password-for-root", "does not apply to root, which does not need sudo; remove this key")
            if root
            else message("only-with-sudo", "requires sudo = true"),
        ),
    ]
    rules += [("packages", is_broken, reason) for is_broken, reason in package_choice.rules(settings.get("packages"))]
    rules += [("downloads", is_broken, reason) for is_broken, reason in download_rules(settings.get("downloads"))]
    rules += [("notebook", is_broken, reason) for is_broken, reason in without_wheels(settings)]
    return [(key, reason) for key, is_broken, reason in rules if is_broken]


def without_wheels(settings: Mapping[str, Any]) -> list[tuple[bool, Message]]:
    """Return what the packages of a distribution lack: whether the settings ask for it, and the reason."""
    notebook = _inside(settings, "notebook")
    distribution = _inside(settings, "packages").get("source") == "distribution"
    return [
        (
            distribution and notebook.get("interface") == "lab",
            message("lab-from-distribution", 'interface = "lab" requires packages.source = "wheels"'),
        ),
        (
            distribution and notebook.get("collaboration") is True,
            message("collaboration-from-distribution", 'collaboration = true requires packages.source = "wheels"'),
        ),
    ]


def _inside(settings: Mapping[str, Any], table: str) -> dict[str, Any]:
    found = settings.get(table)
    return dict(found) if isinstance(found, (Mapping, Settings)) else {}
