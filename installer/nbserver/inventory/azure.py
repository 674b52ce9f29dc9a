"""The virtual machine of a host in Azure, as `nbserver export azure` describes it: [hosts.NAME.azure]."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.json_schema import WithJsonSchema

from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, RemoteAddress, Settings, unlike

_LABEL = "[a-z][a-z0-9-]{1,61}[a-z0-9]"
_VAULT = "/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[A-Za-z0-9_.()-]{1,90}/providers/Microsoft\\.KeyVault/vaults/[A-Za-z0-9-]{3,24}"
# https://learn.microsoft.com/azure/virtual-machines/windows/faq
_REFUSED_USERS = frozenset(
    "a actuser adm admin admin1 admin2 administrator aspnet backup console david guest john owner root server sql support support_388945a0 "
    "sys test test1 test2 test3 user user1 user2 user3 user4 user5".split()
)


def _region(text: str) -> str:
    if not re.fullmatch("[a-z0-9]{3,40}", text):
        raise refuse("azure-location-form", "must be the short name of a region, such as westeurope")
    return text


def _dns_label(text: str) -> str:
    if not re.fullmatch(_LABEL, text):
        raise refuse("azure-label-form", "must consist of 3 to 63 lower-case letters, digits, and hyphens, and begin with a letter")
    return text


def _size(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{3,60}", text):
        raise refuse("azure-size-form", "must be the name of a virtual machine size, such as Standard_D2s_v5")
    return text


def _admin_user(text: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_-]{0,19}", text):
        raise refuse(
            "azure-user-form", "must consist of at most 20 lower-case letters, digits, hyphens, and underscores, and begin with a letter"
        )
    if text in _REFUSED_USERS:
        raise refuse("azure-user-refused", "Azure does not allow this user name; choose another name")
    return text


def _named_source(text: str) -> str:
    if text in ("Any", "LocalSubnet") or text.endswith("/0"):
        raise refuse(
            "azure-source-unnamed",
            "must be a specific IP address or network, because a public server accepts connections only from listed sources",
        )
    return text


def _vault(text: str) -> str:
    if not re.fullmatch(_VAULT, text):
        raise refuse("azure-vault-form", "must be the resource ID of a key vault, as az keyvault show --query id prints it")
    return text


def _vault_secret(text: str) -> str:
    if not re.fullmatch("[0-9A-Za-z-]{1,127}", text):
        raise refuse("azure-secret-form", "must be the name of a secret, which consists of letters, digits, and hyphens")
    return text


class AzureSettings(Settings):
    location: Annotated[str, AfterValidator(_region)] | None = Field(
        default=None,
        title="The region of the virtual machine; required for the export",
        description="the short name of a region, such as westeurope",
    )
    dns_label: Annotated[str, AfterValidator(_dns_label), WithJsonSchema({"type": "string", "pattern": f"^{_LABEL}$"})] | None = Field(
        default=None,
        title="The first part of the public name, LABEL.LOCATION.cloudapp.azure.com; required for the export",
        description="3 to 63 lower-case letters, digits, and hyphens",
    )
    sources: Annotated[tuple[Annotated[RemoteAddress, AfterValidator(_named_source)], ...], AfterValidator(unlike), Array] = Field(
        default=(),
        title="Who may reach the server from outside; required for the export",
        description="an array of IP addresses and networks such as 192.0.2.0/24",
    )
    image: Literal["windows-2022", "windows-2025", "ubuntu-24.04", "sles-15-sp7", "opensuse-15.6"] | None = Field(
        default=None,
        title="The image of the virtual machine",
        description='"windows-2022", "windows-2025", "ubuntu-24.04", "sles-15-sp7", or "opensuse-15.6" (default: windows-2025 or ubuntu-24.04)',
    )
    size: Annotated[str, AfterValidator(_size)] = Field(
        default="Standard_D2s_v5", title="The size of the virtual machine", description='the name of a size, such as "Standard_D2s_v5"'
    )
    disk_size: int = Field(
        default=128,
        ge=30,
        le=4095,
        title="The size of the disk in GB",
        description="a whole number from 30 to 4095 (at least 127 on Windows)",
    )
    disk_type: Literal["StandardSSD_LRS", "Premium_LRS"] = Field(
        default="StandardSSD_LRS", title="The type of the disk", description='"StandardSSD_LRS" or "Premium_LRS"'
    )
    trusted_launch: bool = Field(
        default=True,
        title="Whether the machine has Secure Boot and a virtual TPM, which its image must support",
        description="true or false",
    )
    encryption_at_host: bool = Field(
        default=True,
        title="Whether temporary disk and caches are encrypted as well; requires a feature of the subscription",
        description="true or false",
    )
    admin_user: Annotated[str, AfterValidator(_admin_user)] = Field(
        default="nbadmin", title="The administrator of the virtual machine", description="a user name that Azure allows"
    )
    key_vault: Annotated[str, AfterValidator(_vault)] | None = Field(
        default=None,
        title="The key vault that has the hash of the notebook password; the parameters file refers to it",
        description="the resource ID of a key vault",
    )
    key_vault_secret: Annotated[str, AfterValidator(_vault_secret)] = Field(
        default="notebook-password-hash", title="The secret in the key vault", description="the name of a secret"
    )
