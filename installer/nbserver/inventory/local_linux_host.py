"""The settings of this machine if it runs Linux: [hosts.local] of the inventory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from nbserver.base.message import message
from nbserver.inventory import package_choice, time_limits
from nbserver.inventory.linux_host import (
    LinuxFirewallSettings,
    LinuxNotebookSettings,
    LinuxPackagesSettings,
    LinuxPythonSettings,
    own_folder,
    without_wheels,
)
from nbserver.inventory.local_host import LocalCertificateSettings, LocalNotebookSettings
from nbserver.inventory.service_limits import ServiceSettings
from nbserver.inventory.windows_tables import DownloadsSettings, download_rules
from nbserver.settings.refusal import contradiction
from nbserver.settings.types import Array, HostName, Settings, unlike


class LocalLinuxNotebookSettings(LocalNotebookSettings):
    directory: Annotated[str, AfterValidator(own_folder)] = Field(
        default="~/notebooks", title="The folder of the notebooks", description="the path of a folder that begins with / or ~/"
    )


SYSTEMD = Path("/run/systemd/system")  # exists if this machine was booted with systemd: sd_booted(3)


def own_scope() -> Literal["user", "machine"]:
    """Return the default scope: the machine for root, because in user scope notebooks would run as root.

    Without systemd, as in a container, only user scope is available.
    """
    root = sys.platform == "linux" and os.geteuid() == 0
    return "machine" if root and SYSTEMD.is_dir() else "user"


class LocalLinuxHost(Settings):
    """The host `local`: this machine, running Linux. These are the keys of [hosts.local]; all have defaults."""

    kind: ClassVar = "local_linux"

    name: Literal["local"] = "local"
    system: Literal["linux"] = Field(default="linux", title="The operating system of this machine", description='"linux"')
    transport: Literal["local"] = Field(default="local", title="How nbserver reaches this machine", description='"local"')
    address: HostName = Field(
        default="localhost",
        title="The name that browsers use; also a name in the certificate",
        description="the DNS name or IP address at which browsers reach this machine",
    )
    architecture: Literal["x64", "arm64"] = Field(
        default_factory=lambda: "arm64" if platform.machine().lower() in ("aarch64", "arm64") else "x64",
        title="The processor architecture (default: that of this machine)",
        description="x64 or arm64",
    )
    scope: Literal["user", "machine"] = Field(
        default_factory=own_scope,
        title="Whose notebook server it is: yours, or that of the machine (default: machine for root where systemd runs the machine, otherwise user)",
        description='"user" or "machine"',
    )
    step_timeout: int | None = time_limits.step_timeout()
    timeout: int = time_limits.timeout()
    skip: Annotated[tuple[Literal["firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), title="Steps to leave out", description='an array that is empty or contains "firewall"'
    )
    python: LinuxPythonSettings = LinuxPythonSettings()
    packages: LinuxPackagesSettings = LinuxPackagesSettings()
    downloads: DownloadsSettings = DownloadsSettings()
    certificate: LocalCertificateSettings = LocalCertificateSettings()
    notebook: LocalLinuxNotebookSettings = LocalLinuxNotebookSettings()
    firewall: LinuxFirewallSettings = LinuxFirewallSettings()
    service: ServiceSettings = ServiceSettings()

    @property
    def reboot(self) -> Literal["never"]:
        """The script never restarts a Linux host."""
        return "never"

    @model_validator(mode="before")
    @classmethod
    def _folder_of_scope(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = {"scope": own_scope(), **values}
        if values["scope"] == "machine" and isinstance(values.get("notebook", {}), Mapping):
            return {
                **values,
                "notebook": {"directory": LinuxNotebookSettings.model_fields["directory"].default, **values.get("notebook", {})},
            }
        return values

    @model_validator(mode="after")
    def _fit_together(self) -> LocalLinuxHost:
        machine = self.scope == "machine"
        rules = [
            (
                "packages.source",
                not machine and self.packages.source == "distribution",
                message("distribution-in-user-scope", '"distribution" requires scope = "machine"'),
            ),
            (
                "notebook.port",
                not machine and self.notebook.port < 1024,
                message("low-port-in-user-scope", 'a port below 1024 requires scope = "machine"'),
            ),
            (
                "notebook.directory",
                machine and self.notebook.directory.startswith("~/"),
                message(
                    "directory-in-machine-scope",
                    'must be an absolute path, such as /var/lib/nbserver/notebooks, if scope = "machine" (the default for root)',
                ),
            ),
        ]
        rules += [("notebook", is_broken, reason) for is_broken, reason in without_wheels(dict(self))]
        rules += [
            (f"service.{key}", not machine, message("limit-in-user-scope", 'requires scope = "machine"'))
            for key in sorted(self.service.model_fields_set)
        ]
        rules += [("packages", is_broken, reason) for is_broken, reason in package_choice.rules(self.packages)]
        rules += [("downloads", is_broken, reason) for is_broken, reason in download_rules(self.downloads)]
        broken = [(key, reason) for key, is_broken, reason in rules if is_broken]
        if broken:
            raise contradiction(broken)
        return self
