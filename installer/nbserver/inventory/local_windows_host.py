"""What can be said about this machine where it is a Windows one: [hosts.local] of the inventory."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from nbserver.inventory.local_host import LocalCertificateSettings, LocalNotebookSettings
from nbserver.inventory.windows_host import (
    DownloadsSettings,
    FirewallSettings,
    NotebookSettings,
    OpensslSettings,
    PackagesSettings,
    PathSettings,
    PythonSettings,
    WindowsHostSettings,
)
from nbserver.settings.types import (
    Array,
    ExistingFile,
    HostName,
    Settings,
    WindowsFolder,
    unlike,
)

FOLDERS = {"user": "%USERPROFILE%\\notebooks", "machine": str(NotebookSettings.model_fields["directory"].default)}
# What only administrators can change; what in user scope is that of the Python that runs nbserver.
MACHINE_ONLY = ("accept_end_of_life", "adopt", "catalog", "firewall", "openssl", "path", "skip")
OF_PYTHON = ("architecture", "python")


def own_architecture() -> Literal["x64", "arm64"]:
    """That of the Python that runs this: packages have to fit it."""
    return "arm64" if sysconfig.get_platform() == "win-arm64" else "x64"


def _words(key: str) -> str:
    return str(WindowsHostSettings.model_fields[key].description)


class LocalWindowsCertificateSettings(LocalCertificateSettings):
    @property
    def source(self) -> Literal["host"]:
        """This machine makes it itself."""
        return "host"

    @property
    def thumbprint(self) -> None:
        """It comes from no store."""
        return


class LocalWindowsNotebookSettings(LocalNotebookSettings):
    directory: WindowsFolder = Field(default=FOLDERS["user"], description=str(NotebookSettings.model_fields["directory"].description))


class LocalWindowsHost(Settings):
    """The host `local` on Windows. The inventory's [hosts.local] may have these keys; all have defaults."""

    name: Literal["local"] = "local"
    system: Literal["windows"] = Field(default="windows", description='"windows"')
    transport: Literal["local"] = Field(default="local", description='"local"')
    address: HostName = Field(default="localhost", description="the DNS name or IP address by which browsers reach this machine")
    architecture: Literal["x64", "arm64"] = Field(default_factory=own_architecture, description=_words("architecture"))
    scope: Literal["user", "machine"] = Field(default="user", description='"user" or "machine"')
    windows: Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"] | None = Field(
        default=None, description=_words("windows")
    )
    accept_end_of_life: bool = Field(default=False, description=_words("accept_end_of_life"))
    catalog: ExistingFile | None = Field(default=None, description=_words("catalog"))
    skip: Annotated[tuple[Literal["ie_esc", "path", "firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), description=_words("skip")
    )
    adopt: bool = Field(default=False, description=_words("adopt"))
    python: PythonSettings = PythonSettings()
    openssl: OpensslSettings = OpensslSettings()
    packages: PackagesSettings = PackagesSettings()
    downloads: DownloadsSettings = DownloadsSettings()
    path: PathSettings = PathSettings()
    certificate: LocalWindowsCertificateSettings = LocalWindowsCertificateSettings()
    notebook: LocalWindowsNotebookSettings = LocalWindowsNotebookSettings()
    firewall: FirewallSettings = FirewallSettings()

    @property
    def reboot(self) -> Literal["never"]:
        """A restart would end nbserver too."""
        return "never"

    @model_validator(mode="before")
    @classmethod
    def _folder_of_scope(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("scope") == "machine" and isinstance(values.get("notebook", {}), Mapping):
            return {**values, "notebook": {"directory": FOLDERS["machine"], **values.get("notebook", {})}}
        return values

    @model_validator(mode="after")
    def _fit_together(self) -> LocalWindowsHost:
        given = self.model_fields_set
        if self.scope == "user":
            broken = [f'{key}: it needs scope = "machine"' for key in MACHINE_ONLY if key in given]
            broken += [
                f'{key}: with scope = "user" it is that of the Python that runs nbserver; leave it out, or choose scope = "machine"'
                for key in OF_PYTHON
                if key in given
            ]
        else:
            broken = [] if self.notebook.password else ['notebook.password: with scope = "machine" it has to be said where it is kept']
        if broken:
            raise PydanticCustomError("contradiction", "{reason}", {"reason": "; ".join(broken)})
        return self
