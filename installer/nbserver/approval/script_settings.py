"""What the settings of a script may be: the rules that an inventory is checked by, applied to what comes out of it.

docs/schemas/settings.json and settings_linux.json describe the same for other programs. Whoever takes settings from elsewhere
than an inventory, as `nbserver audit` does, checks them here: nothing gets by that a script would take for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nbserver.base import strict_json
from nbserver.inventory.linux_host import LinuxFirewallSettings
from nbserver.inventory.local_linux_host import own_folder
from nbserver.inventory.names import LOCAL, is_host
from nbserver.inventory.windows_host import FirewallSettings
from nbserver.settings.faults import dotted, faults
from nbserver.settings.types import (
    Array,
    HostName,
    ListenAddress,
    ProxyUrl,
    Settings,
    Thumbprint,
    VersionPrefix,
    WebAddress,
    WindowsFolder,
    WindowsPath,
    refuse,
    unlike,
)

HEX = "64 lower-case hex digits"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description=HEX)]
Release = Annotated[str, Field(pattern=r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}[0-9A-Za-z.+-]{0,40}$", description="a release such as 1.2.3")]


def _host(text: str) -> str:
    if not is_host(text):
        raise refuse("no host of an inventory has such a name")
    return text


def _python_folder(text: str) -> str:
    if not re.match(r"([A-Za-z]:|\\\\[^\\]+)\\[^\\]", text):
        raise refuse("it is not an absolute path of Windows")
    return text


def _python_program(text: str) -> str:
    if not re.fullmatch(r"/(.+/)?bin/python3\.[0-9]{1,3}", text):
        raise refuse("it is not the absolute path of a Python")
    return text


Architecture = Literal["x64", "arm64"]
Names = Annotated[tuple[Annotated[HostName, AfterValidator(str.lower)], ...], AfterValidator(unlike), Array]


class Download(Settings):
    executable: Annotated[tuple[str, ...], Array] = Field(description="an array of paths")
    kind: Literal["zip", "msi", "exe"] = Field(description="zip, msi or exe")
    sha256: Sha256
    size: int | None = Field(ge=1, description="a number of bytes, or null")
    url: WebAddress = Field(description="an http or https URL without credentials")
    version: VersionPrefix = Field(description="a version such as 3.13.13")


class PresentPython(Settings):
    executable: Annotated[tuple[Literal["python.exe"]], Array] = Field(description='["python.exe"]')
    folder: Annotated[str, AfterValidator(_python_folder)] = Field(description="an absolute path of Windows")
    kind: Literal["present"] = Field(description="present")
    version: Annotated[str, Field(pattern=r"^3\.[0-9]{1,3}$")] = Field(description="a branch such as 3.13")


class Certificate(Settings):
    days: int = Field(ge=1, le=397, description="a whole number from 1 to 397")
    names: Names = Field(min_length=1, description="an array of DNS names in small letters, and IP addresses")


class WindowsCertificate(Certificate):
    source: Literal["host", "workstation", "store", "request"] = Field(description="host, workstation, store or request")
    thumbprint: Thumbprint | None = Field(description="40 upper-case hex digits, or null")


class Downloads(Settings):
    proxy: ProxyUrl | None = Field(description="a URL such as http://proxy.example.com:3128, or null")


class Packages(Settings):
    index_url: WebAddress | None = Field(description="the URL of a package index without credentials, or null")
    installer: Literal["auto", "uv", "pip"] = Field(description="auto, uv or pip")
    lock_sha256: Sha256


class LinuxPackages(Packages):
    source: Literal["auto", "distribution", "wheels"] = Field(description="auto, distribution or wheels")


class Notebook(Settings):
    ip: ListenAddress = Field(description='"*" or an IP address')
    port: int = Field(ge=1, le=65535, description="a whole number from 1 to 65535")
    session: int = Field(ge=1, le=744, description="a whole number of hours from 1 to 744")


class WindowsNotebook(Notebook):
    directory: WindowsFolder = Field(description="a folder on a drive or below a %Variable%")


class LinuxNotebook(Notebook):
    directory: Annotated[str, AfterValidator(own_folder)] = Field(description="an absolute path of a folder")


class PathEntries(Settings):
    entries: Annotated[tuple[WindowsPath, ...], AfterValidator(unlike), Array] = Field(description="an array of paths of Windows")
    programs: bool = Field(description="true or false")


class LinuxPython(Settings):
    program: Annotated[str, AfterValidator(_python_program)] | None = Field(description="a path such as /usr/bin/python3.11, or null")
    version: VersionPrefix | None = Field(description="a version or its beginning, or null")


class ScriptSettings(Settings):
    """What every script has."""

    architecture: Architecture = Field(description="x64 or arm64")
    downloads: Downloads
    host: Annotated[str, AfterValidator(_host)] = Field(description="the name of a host")
    release: Release


class WindowsSettings(ScriptSettings):
    adopt: bool = Field(description="true or false")
    certificate: WindowsCertificate
    firewall: FirewallSettings = Field(description="a table with remote_addresses")
    notebook: WindowsNotebook
    packages: Packages
    path: PathEntries
    reboot: Literal["never", "if-needed"] = Field(description="never or if-needed")
    skip: Annotated[tuple[Literal["firewall", "ie_esc", "path"], ...], AfterValidator(unlike), Array] = Field(
        description="an array with any of firewall, ie_esc, path"
    )
    windows: Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"] | None = Field(
        description="a release of Windows, or null"
    )


class WindowsMachine(WindowsSettings):
    openssl: Download
    python: Download
    scope: Literal["machine"] = Field(description="machine")
    vc_redist: Download | None


class WindowsUser(WindowsSettings):
    openssl: None = Field(description="null")
    python: PresentPython
    scope: Literal["user"] = Field(description="user")
    vc_redist: None = Field(description="null")


class LinuxSettings(ScriptSettings):
    certificate: Certificate
    firewall: LinuxFirewallSettings = Field(description="a table with remote_addresses")
    notebook: LinuxNotebook
    packages: LinuxPackages
    python: LinuxPython
    scope: Literal["machine", "user"] = Field(description="machine or user")
    skip: Annotated[tuple[Literal["firewall"], ...], AfterValidator(unlike), Array] = Field(description="an array with firewall, or empty")
    system: Literal["linux"] = Field(description="linux")


def is_linux(settings: Mapping[str, Any]) -> bool:
    """Whether these are the settings of a Linux host's script; those of Windows hosts name no system."""
    return "system" in settings


def model_of(settings: Mapping[str, Any]) -> type[ScriptSettings]:
    """What settings of this system and scope are checked by."""
    if is_linux(settings):
        return LinuxSettings
    return WindowsUser if settings.get("scope") == "user" else WindowsMachine


def first_fault(settings: Mapping[str, Any]) -> str | None:
    """`KEY: what is wrong` with the settings of a script, or None: an inventory gives these very settings, value for value."""
    model = model_of(settings)
    found = faults(settings, model, {}, missing=True)
    if found:
        return found[0][1]
    plain = model.model_validate(settings).model_dump(mode="json")
    return next(_differences(settings, plain, ()), None) or next((f"{key}: {reason}" for key, reason in _contradictions(settings)), None)


def _differences(given: Any, checked: Any, at: tuple[str, ...]) -> Iterator[str]:
    """The keys that an inventory writes in another form, as `any` for `Any`."""
    if isinstance(given, dict) and isinstance(checked, dict):
        for key, value in checked.items():
            if key not in given:
                yield f"{dotted((*at, key))}: it is missing"
            else:
                yield from _differences(given[key], value, (*at, key))
    elif not strict_json.same(given, checked):
        yield f"{dotted(at)}: an inventory gives it in another form"


def _contradictions(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    user = settings["scope"] == "user"
    rules = [
        ("skip", settings["skip"] != sorted(settings["skip"]), "it is not sorted"),
        ("scope", user and settings["host"] != LOCAL, f'"user" is for the host {LOCAL} only'),
    ]
    if is_linux(settings):
        directory, python, packages = settings["notebook"]["directory"], settings["python"], settings["packages"]
        rules += [
            ("notebook.directory", directory.startswith("~") and not user, 'a folder below ~ needs the scope "user"'),
            ("notebook.port", user and settings["notebook"]["port"] < 1024, 'ports below 1024 need the scope "machine"'),
            ("packages.source", user and packages["source"] == "distribution", '"distribution" needs the scope "machine"'),
            ("python.program", python["program"] is not None and not user, 'it needs the scope "user"'),
        ]
    else:
        certificate, path = settings["certificate"], settings["path"]
        store = certificate["source"] == "store"
        rules += [
            (
                "certificate.thumbprint",
                store != (certificate["thumbprint"] is not None),
                'it belongs to the source "store", and to no other',
            ),
            ("certificate.source", user and certificate["source"] != "host", 'in user scope it is "host"'),
            ("adopt", user and settings["adopt"], "it is false in user scope"),
            ("path", user and (path["programs"] or path["entries"]), "there is none in user scope"),
            ("skip", user and settings["skip"], "it is empty in user scope"),
        ]
    return [(key, reason) for key, broken, reason in rules if broken]
