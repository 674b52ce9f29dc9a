"""The settings of this machine that Linux and Windows share: [hosts.local] of the inventory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nbserver.inventory import collaboration, idle_kernels
from nbserver.inventory.idle_kernels import IdleTime
from nbserver.inventory.windows_tables import NotebookSettings
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import PASSWORD_MINIMUM, Array, HostName, ListenAddress, PublicUrl, Settings, unlike


def _description(key: str) -> str:
    return str(NotebookSettings.model_fields[key].description)


def _title(key: str) -> str:
    return str(NotebookSettings.model_fields[key].title)


class LocalCertificateSettings(Settings):
    names: Annotated[tuple[HostName, ...], AfterValidator(unlike), Array] = Field(
        default=("127.0.0.1", "::1"),
        title="Names in the certificate, in addition to address and the host of notebook.public_url",
        description="an array of DNS names and IP addresses",
    )
    days: int = Field(default=397, ge=1, le=397, title="How many days a certificate is valid", description="a whole number from 1 to 397")


class LocalNotebookSettings(Settings):
    """The rules and the default of `directory` depend on the operating system."""

    port: int = Field(default=9999, ge=1, le=65535, title=_title("port"), description="a whole number from 1 to 65535")
    ip: ListenAddress = Field(
        default="127.0.0.1",
        title=_title("ip"),
        description='"127.0.0.1" for this machine only, "*" for all its addresses, or another IP address',
    )
    directory: str
    interface: Literal["lab", "notebook"] = Field(default="notebook", title=_title("interface"), description=_description("interface"))
    language: Literal["en", "fr", "ja", "none"] = Field(default="en", title=_title("language"), description=_description("language"))
    public_url: PublicUrl | None = Field(default=None, title=_title("public_url"), description=_description("public_url"))
    password: SecretReference | None = Field(
        default=None,
        title="What people enter in the browser (default: a generated password, which is shown once)",
        description=_description("password"),
    )
    password_minimum: int = Field(
        default=PASSWORD_MINIMUM, ge=8, le=128, title=_title("password_minimum"), description=_description("password_minimum")
    )
    session: int = Field(default=12, ge=1, le=744, title=_title("session"), description=_description("session"))
    collaboration: bool = Field(default=False, title=collaboration.TITLE, description=collaboration.DESCRIPTION)
    cull_idle: IdleTime = Field(default=idle_kernels.OFF, title=idle_kernels.TITLE, description=idle_kernels.DESCRIPTION)

    @property
    def cull_idle_seconds(self) -> int:
        """After how many seconds an idle kernel is stopped; 0 means never."""
        return idle_kernels.seconds(self.cull_idle)
