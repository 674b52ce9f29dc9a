"""The settings of this machine if it runs Windows: [hosts.local] of the inventory."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from nbserver.base.message import message
from nbserver.inventory import package_choice, time_limits
from nbserver.inventory.local_host import LocalCertificateSettings, LocalNotebookSettings
from nbserver.inventory.windows_host import WindowsHostSettings
from nbserver.inventory.windows_tables import (
    DownloadsSettings,
    FirewallSettings,
    NotebookSettings,
    OpensslSettings,
    PackagesSettings,
    PathSettings,
    PythonSettings,
    download_rules,
)
from nbserver.settings.refusal import contradiction
from nbserver.settings.types import Array, ExistingFile, HostName, Settings, WindowsFolder, unlike

FOLDERS = {"user": "%USERPROFILE%\\notebooks", "machine": str(NotebookSettings.model_fields["directory"].default)}
# Keys that only an administrator can apply, and keys that user scope takes from the Python that runs nbserver.
MACHINE_ONLY = ("accept_end_of_life", "adopt", "catalog", "firewall", "openssl", "path", "skip")
OF_PYTHON = ("architecture", "python")


def own_architecture() -> Literal["x64", "arm64"]:
    """Return the architecture of the Python that runs nbserver: packages must match it."""
    return "arm64" if sysconfig.get_platform() == "win-arm64" else "x64"


def _description(key: str) -> str:
    return str(WindowsHostSettings.model_fields[key].description)


def _title(key: str) -> str:
    return str(WindowsHostSettings.model_fields[key].title)


class LocalWindowsCertificateSettings(LocalCertificateSettings):
    @property
    def source(self) -> Literal["host"]:
        """This machine creates its certificate itself."""
        return "host"

    @property
    def thumbprint(self) -> None:
        """The certificate does not come from a store."""
        return


class LocalWindowsNotebookSettings(LocalNotebookSettings):
    directory: WindowsFolder = Field(
        default=FOLDERS["user"],
        title=str(NotebookSettings.model_fields["directory"].title),
        description=str(NotebookSettings.model_fields["directory"].description),
    )


class LocalWindowsHost(Settings):
    """The host `local`: this machine, running Windows. These are the keys of [hosts.local]; all have defaults."""

    kind: ClassVar = "local_windows"

    name: Literal["local"] = "local"
    system: Literal["windows"] = Field(default="windows", title="The operating system of this machine", description='"windows"')
    transport: Literal["local"] = Field(default="local", title="How nbserver reaches this machine", description='"local"')
    address: HostName = Field(
        default="localhost",
        title="The name that browsers use; also a name in the certificate",
        description="the DNS name or IP address at which browsers reach this machine",
    )
    architecture: Literal["x64", "arm64"] = Field(
        default_factory=own_architecture,
        title="The processor architecture (default: that of the Python that runs nbserver)",
        description=_description("architecture"),
    )
    scope: Literal["user", "machine"] = Field(
        default="user", title="Whose notebook server it is: yours, or that of the machine", description='"user" or "machine"'
    )
    windows: Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"] | None = Field(
        default=None, title=_title("windows"), description=_description("windows")
    )
    accept_end_of_life: bool = Field(default=False, title=_title("accept_end_of_life"), description=_description("accept_end_of_life"))
    catalog: ExistingFile | None = Field(default=None, title=_title("catalog"), description=_description("catalog"))
    step_timeout: int | None = time_limits.step_timeout()
    timeout: int = time_limits.timeout()
    skip: Annotated[tuple[Literal["ie_esc", "path", "firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), title=_title("skip"), description=_description("skip")
    )
    adopt: bool = Field(default=False, title=_title("adopt"), description=_description("adopt"))
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
        """A restart would stop nbserver too."""
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
            machine_only = message("machine-scope-only", 'requires scope = "machine"')
            own_python = message(
                "own-python-in-user-scope",
                'with scope = "user", the notebook server uses the Python that runs nbserver; remove this key, or set scope = "machine"',
            )
            broken = [(key, machine_only) for key in MACHINE_ONLY if key in given]
            broken += [(key, own_python) for key in OF_PYTHON if key in given]
        else:
            required = message("password-in-machine-scope", 'this key is required if scope = "machine"')
            broken = [] if self.notebook.password else [("notebook.password", required)]
        broken += [("packages", reason) for is_broken, reason in package_choice.rules(self.packages) if is_broken]
        broken += [("downloads", reason) for is_broken, reason in download_rules(self.downloads) if is_broken]
        if broken:
            raise contradiction(broken)
        return self
