"""What can be said about this machine whichever system it has: [hosts.local] of the inventory."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from nbserver.inventory.windows_host import NotebookSettings
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import PASSWORD_MINIMUM, Array, HostName, ListenAddress, PublicUrl, Settings, unlike


def _words(key: str) -> str:
    return str(NotebookSettings.model_fields[key].description)


class LocalCertificateSettings(Settings):
    names: Annotated[tuple[HostName, ...], AfterValidator(unlike), Array] = Field(
        default=("127.0.0.1", "::1"), description="an array of DNS names and IP addresses"
    )
    days: int = Field(default=397, ge=1, le=397, description="a whole number from 1 to 397")


class LocalNotebookSettings(Settings):
    """`directory` has the rules and the default of the system."""

    port: int = Field(default=9999, ge=1, le=65535, description="a whole number from 1 to 65535")
    ip: ListenAddress = Field(
        default="127.0.0.1", description='"127.0.0.1" for this machine only, "*" for every address of it, or another IP address'
    )
    directory: str
    public_url: PublicUrl | None = Field(default=None, description=_words("public_url"))
    password: SecretReference | None = Field(default=None, description=_words("password"))
    password_minimum: int = Field(default=PASSWORD_MINIMUM, ge=8, le=128, description=_words("password_minimum"))
    session: int = Field(default=12, ge=1, le=744, description=_words("session"))
