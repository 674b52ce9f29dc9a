"""What can be said about this machine where it is a Linux one: [hosts.local] of the inventory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from nbserver.inventory.linux_host import (
    LinuxFirewallSettings,
    LinuxNotebookSettings,
    LinuxPackagesSettings,
    LinuxPythonSettings,
    absolute_folder,
)
from nbserver.inventory.local_host import LocalCertificateSettings, LocalNotebookSettings
from nbserver.inventory.windows_host import DownloadsSettings
from nbserver.settings.types import Array, HostName, Settings, unlike


def own_folder(text: str) -> str:
    """Return an absolute path of a folder, or one that begins with ~/ (the user's home folder)."""
    return text[:1] + absolute_folder("/home" + text[1:])[5:] if text.startswith("~/") else absolute_folder(text)


class LocalLinuxNotebookSettings(LocalNotebookSettings):
    directory: Annotated[str, AfterValidator(own_folder)] = Field(
        default="~/notebooks", description="a path of a folder that begins with / or ~/"
    )


SYSTEMD = Path("/run/systemd/system")  # there while systemd runs this machine: sd_booted(3)


def own_scope() -> Literal["user", "machine"]:
    """What counts where nothing is said: the whole machine for root, whose own notebook server would run all as root.

    Without systemd, as in a container, only user scope can be had.
    """
    root = sys.platform == "linux" and os.geteuid() == 0
    return "machine" if root and SYSTEMD.is_dir() else "user"


class LocalLinuxHost(Settings):
    """The host `local`: this machine, a Linux one. The inventory's [hosts.local] may have these keys; all have defaults."""

    name: Literal["local"] = "local"
    system: Literal["linux"] = Field(default="linux", description='"linux"')
    transport: Literal["local"] = Field(default="local", description='"local"')
    address: HostName = Field(default="localhost", description="the DNS name or IP address by which browsers reach this machine")
    architecture: Literal["x64", "arm64"] = Field(
        default_factory=lambda: "arm64" if platform.machine().lower() in ("aarch64", "arm64") else "x64", description="x64 or arm64"
    )
    scope: Literal["user", "machine"] = Field(default_factory=own_scope, description='"user" or "machine"')
    skip: Annotated[tuple[Literal["firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), description="an array with firewall, or empty"
    )
    python: LinuxPythonSettings = LinuxPythonSettings()
    packages: LinuxPackagesSettings = LinuxPackagesSettings()
    downloads: DownloadsSettings = DownloadsSettings()
    certificate: LocalCertificateSettings = LocalCertificateSettings()
    notebook: LocalLinuxNotebookSettings = LocalLinuxNotebookSettings()
    firewall: LinuxFirewallSettings = LinuxFirewallSettings()

    @property
    def reboot(self) -> Literal["never"]:
        """A Linux host is never restarted by its script."""
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
                'the distribution\'s packages need scope = "machine"',
            ),
            ("notebook.port", not machine and self.notebook.port < 1024, 'ports below 1024 need scope = "machine"'),
            (
                "notebook.directory",
                machine and self.notebook.directory.startswith("~/"),
                'with scope = "machine", which is root\'s where nothing else is said, it is an absolute path, such as /var/lib/nbserver/notebooks',
            ),
        ]
        broken = [f"{key}: {reason}" for key, is_broken, reason in rules if is_broken]
        if broken:
            raise PydanticCustomError("contradiction", "{reason}", {"reason": "; ".join(broken)})
        return self
