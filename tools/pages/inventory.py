"""The keys of the inventory, from the models that check it: docs/inventory.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nbserver.inventory.linux_host import LinuxHostSettings
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHostSettings
from nbserver.settings.secret import SecretReference
from tools.pages.parts import table

KINDS: dict[str, type[BaseModel]] = {
    "keys of Windows hosts": WindowsHostSettings,
    "keys of Linux hosts": LinuxHostSettings,
    "keys of this machine on Linux": LocalLinuxHost,
    "keys of this machine on Windows": LocalWindowsHost,
}
HEAD = ("Key", "Meaning", "Value", "Default")
CONSTANT = ("name", "system", "transport")  # of this machine: nobody writes them
DEFAULT = re.compile(r" \((?:[^()]*; )?default: (?P<default>[^()]*(?:\([^()]*\))?[^()]*)\)$")
ASIDE = re.compile(r" \((?:whether|how long|minimum length|root does not) [^()]*\)$")
VALUE = re.compile(
    r"\bnotebook\.\w+|%\w+%(?:\\\w+)*|~/[\w./]+|https://ADDRESS:PORT|\w+ = \w+|[a-z]+_[a-z_]+|keyring set nbserver NAME|ssh-keygen -l|\{ \w+ = (?:\"\w+\"|true) \}|\"[^\"]+\"|Cert:\S+"
)
SECRET = "a [secret reference](#refer-to-secrets)"
MORE = {  # the page that explains a key
    "transport": {"WindowsHostSettings": "[The bootstraps](bootstrap.md)", "LinuxHostSettings": "[SSH](ssh.md)"},
    "fingerprint": "[Windows hosts](windows.md#prepare-the-host)",
    "host_key": "[SSH](ssh.md#the-hosts-key)",
    "sudo": "[SSH](ssh.md#sudo)",
    "windows": "[Site catalogs](catalog.md#which-windows-gets-what)",
    "catalog": "[Site catalogs](catalog.md)",
    "adopt": "[Existing hosts](existing-hosts.md)",
    "reboot": "[Windows hosts](windows.md#good-to-know)",
    "skip": {
        "WindowsHostSettings": "[Windows hosts](windows.md#what-runs-on-my-host)",
        "LinuxHostSettings": "[Linux hosts](linux.md#what-runs-on-my-host)",
    },
    "scope": {
        "LocalLinuxHost": "[This machine](local.md#whose-server-it-is)",
        "LocalWindowsHost": "[This machine](local.md#whose-server-it-is)",
    },
    "packages.source": "[Linux hosts](linux.md#packages-of-the-distribution)",
    "certificate.file": "[Certificates](certificates.md#files-on-the-workstation)",
    "certificate.pfx": "[Certificates](certificates.md#files-on-the-workstation)",
    "certificate.thumbprint": "[Certificates](certificates.md#the-hosts-certificate-store)",
    "certificate.request": "[Certificates](certificates.md#requested-by-the-host-signed-elsewhere)",
    "notebook.public_url": "[Windows hosts](windows.md#use-port-443-outside-and-9999-inside)",
    "notebook.directory": {"LinuxHostSettings": "[Linux hosts](linux.md#where-notebooks-may-be-kept)"},
    **dict.fromkeys(("service.memory_max", "service.tasks_max", "service.cpu_quota"), "[Linux hosts](linux.md#limits)"),
    "azure.location": "[Export to other tools](export.md#azure)",
    "notebook.password_minimum": "[Security](security.md#the-notebooks-password)",
}


def keys(model: type[BaseModel]) -> str:
    """Return the table of all keys of a kind of host."""
    return table(HEAD, rows(model, model.__name__))


def secret_references() -> str:
    """Return the table of the five places where a secret can be."""
    fields = SecretReference.model_fields
    return table(
        ("Key", "Where the secret is", "Value"),
        [(code(key), marked(field.title), marked(field.description)) for key, field in fields.items()],
    )


def rows(model: type[BaseModel], kind: str, before: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield the row of each key; tables within tables have dotted keys."""
    for name, field in model.model_fields.items():
        key, below = before + name, inner(field)
        if below is SecretReference:
            yield code(key), meaning(key, field, kind), SECRET, default(field)
        elif below:
            yield from rows(below, kind, f"{key}.")
        elif not (kind.startswith("Local") and key in CONSTANT):
            yield code(key), meaning(key, field, kind), marked(ASIDE.sub("", DEFAULT.sub("", field.description or ""))), default(field)


def inner(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table."""
    for found in (field.annotation, *get_args(field.annotation)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def meaning(key: str, field: FieldInfo, kind: str) -> str:
    more = MORE.get(key, "")
    link = more.get(kind, "") if isinstance(more, dict) else more
    return marked(DEFAULT.sub("", field.title or "")) + (f". See {link}" if link else "")


def default(field: FieldInfo) -> str:
    """Return the default as the inventory would have it, or in words where it depends on something else."""
    if field.is_required():
        return "required"
    if field.default is not None and field.default is not PydanticUndefined:
        return code(toml(field.default))
    found = DEFAULT.search(field.title or "") or DEFAULT.search(field.description or "")
    return marked(found["default"]) if found else ""


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return f"'{value}'" if "\\" in value else f'"{value}"'
    return str(value)


def code(text: str) -> str:
    return f"`{text}`"


def marked(text: str | None) -> str:
    """Return plain text as Markdown, with values and keys as code."""
    return VALUE.sub(lambda found: code(found[0]), text or "")
