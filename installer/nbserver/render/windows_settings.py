"""What the script of a Windows host receives: on a host of the inventory, and on this machine in user scope."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nbserver.inventory.windows_host import FirewallSettings
from nbserver.render.settings import Certificate, Notebook, Packages, ScriptSettings, Sha256, Table
from nbserver.settings.types import Array, Thumbprint, VersionPrefix, WebAddress, WindowsFolder, WindowsPath, refuse, unlike


def _python_folder(text: str) -> str:
    if not re.match(r"([A-Za-z]:|\\\\[^\\]+)\\[^\\]", text):
        raise refuse("it is not an absolute path of Windows")
    return text


@dataclass(frozen=True)
class Program(Table):
    """A program that the script downloads: what it has to know of an entry of the catalog."""

    executable: Annotated[tuple[str, ...], Array, Field(description="an array of paths")]
    kind: Annotated[Literal["zip", "msi", "exe"], Field(description="zip, msi or exe")]
    sha256: Sha256
    size: Annotated[int | None, Field(ge=1, description="a number of bytes, or null")]
    url: Annotated[WebAddress, Field(description="an http or https URL without credentials")]
    version: Annotated[VersionPrefix, Field(description="a version such as 3.13.13")]


@dataclass(frozen=True)
class PresentPython(Table):
    """The Python that runs nbserver: a server in user scope is made from it."""

    executable: Annotated[tuple[Literal["python.exe"]], Array, Field(description='["python.exe"]')]
    folder: Annotated[str, AfterValidator(_python_folder), Field(description="an absolute path of Windows")]
    kind: Annotated[Literal["present"], Field(description="present")]
    version: Annotated[str, Field(pattern=r"^3\.[0-9]{1,3}$", description="a branch such as 3.13")]


@dataclass(frozen=True)
class WindowsCertificate(Certificate):
    source: Annotated[Literal["host", "workstation", "store", "request"], Field(description="host, workstation, store or request")]
    thumbprint: Annotated[Thumbprint | None, Field(description="40 upper-case hex digits, or null")]


@dataclass(frozen=True)
class WindowsNotebook(Notebook):
    directory: Annotated[WindowsFolder, Field(description="a folder on a drive or below a %Variable%")]


@dataclass(frozen=True)
class PathEntries(Table):
    entries: Annotated[tuple[WindowsPath, ...], AfterValidator(unlike), Array, Field(description="an array of paths of Windows")]
    programs: Annotated[bool, Field(description="true or false")]


@dataclass(frozen=True)
class WindowsScriptSettings(ScriptSettings):
    adopt: Annotated[bool, Field(description="true or false")]
    certificate: WindowsCertificate
    firewall: Annotated[FirewallSettings, Field(description="a table with remote_addresses")]
    notebook: WindowsNotebook
    packages: Packages
    path: PathEntries
    reboot: Annotated[Literal["never", "if-needed"], Field(description="never or if-needed")]
    skip: Annotated[
        tuple[Literal["firewall", "ie_esc", "path"], ...],
        AfterValidator(unlike),
        Array,
        Field(description="an array with any of firewall, ie_esc, path"),
    ]
    windows: Annotated[
        Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"] | None, Field(description="a release of Windows, or null")
    ]
    openssl: Program | None
    python: Program | PresentPython
    scope: Annotated[Literal["machine", "user"], Field(description="machine or user")]
    vc_redist: Program | None


@dataclass(frozen=True)
class WindowsMachineSettings(WindowsScriptSettings):
    openssl: Program
    python: Program
    scope: Annotated[Literal["machine"], Field(description="machine")]
    vc_redist: Program | None


@dataclass(frozen=True)
class WindowsUserSettings(WindowsScriptSettings):
    openssl: Annotated[None, Field(description="null")]
    python: PresentPython
    scope: Annotated[Literal["user"], Field(description="user")]
    vc_redist: Annotated[None, Field(description="null")]
