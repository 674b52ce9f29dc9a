"""The settings that the script of a Windows host receives, for hosts in the inventory and for this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nbserver.inventory.windows_tables import FirewallSettings
from nbserver.render.settings import Certificate, Notebook, Packages, ScriptSettings, Sha256, Table
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, Thumbprint, VersionPrefix, WebAddress, WindowsFolder, WindowsPath, unlike


def _python_folder(text: str) -> str:
    if not re.match(r"([A-Za-z]:|\\\\[^\\]+)\\[^\\]", text):
        raise refuse("windows-path-not-absolute", "must be an absolute Windows path")
    return text


@dataclass(frozen=True)
class ProgramSource(Table):
    """Where a script can download a program, and how it is installed, with the data from the catalog."""

    executable: Annotated[tuple[str, ...], Array, Field(description="an array of paths")]
    kind: Annotated[Literal["zip", "msi", "exe"], Field(description="zip, msi, or exe")]
    sha256: Sha256
    size: Annotated[int | None, Field(ge=1, description="a number of bytes, or null")]
    url: Annotated[WebAddress, Field(description="an http or https URL, without credentials")]
    version: Annotated[VersionPrefix, Field(description="a version such as 3.13.13")]


@dataclass(frozen=True)
class Program(ProgramSource):
    """A program that the script downloads. `sources` is what it tries in this order if the file is not there."""

    sources: Annotated[tuple[ProgramSource, ...], Array, Field(description="an array of tables")] = ()


@dataclass(frozen=True)
class PresentPython(Table):
    """The Python that runs nbserver, which a server in user scope uses."""

    executable: Annotated[tuple[Literal["python.exe"]], Array, Field(description='["python.exe"]')]
    folder: Annotated[str, AfterValidator(_python_folder), Field(description="the absolute path of a Windows folder")]
    kind: Annotated[Literal["present"], Field(description='"present"')]
    version: Annotated[str, Field(pattern=r"^3\.[0-9]{1,3}$", description='a Python branch such as "3.13"')]


@dataclass(frozen=True)
class WindowsCertificate(Certificate):
    source: Annotated[Literal["host", "workstation", "store", "request"], Field(description='"host", "workstation", "store", or "request"')]
    thumbprint: Annotated[Thumbprint | None, Field(description="a thumbprint of 40 upper-case hex digits, or null")]


@dataclass(frozen=True)
class WindowsNotebook(Notebook):
    directory: Annotated[WindowsFolder, Field(description="the path of a Windows folder that is absolute or begins with %Variable%")]


@dataclass(frozen=True)
class PathEntries(Table):
    entries: Annotated[
        tuple[WindowsPath, ...],
        AfterValidator(unlike),
        Array,
        Field(description="an array of Windows paths that are absolute or begin with %Variable%, without semicolons"),
    ]
    programs: Annotated[bool, Field(description="true or false")]


@dataclass(frozen=True)
class WindowsScriptSettings(ScriptSettings):
    adopt: Annotated[bool, Field(description="true or false")]
    certificate: WindowsCertificate
    firewall: Annotated[FirewallSettings, Field(description="a table with remote_addresses")]
    notebook: WindowsNotebook
    packages: Packages
    path: PathEntries
    reboot: Annotated[Literal["never", "if-needed"], Field(description='"never" or "if-needed"')]
    skip: Annotated[
        tuple[Literal["firewall", "ie_esc", "path"], ...],
        AfterValidator(unlike),
        Array,
        Field(description='an array with any of "ie_esc", "path", and "firewall"'),
    ]
    windows: Annotated[
        Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"] | None,
        Field(description='"2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11", or null'),
    ]
    openssl: Program | None
    python: Program | PresentPython
    scope: Annotated[Literal["machine", "user"], Field(description='"machine" or "user"')]
    vc_redist: Program | None


@dataclass(frozen=True)
class WindowsMachineSettings(WindowsScriptSettings):
    openssl: Program
    python: Program
    scope: Annotated[Literal["machine"], Field(description='"machine"')]
    vc_redist: Program | None


@dataclass(frozen=True)
class WindowsUserSettings(WindowsScriptSettings):
    openssl: Annotated[None, Field(description="null")]
    python: PresentPython
    scope: Annotated[Literal["user"], Field(description='"user"')]
    vc_redist: Annotated[None, Field(description="null")]
