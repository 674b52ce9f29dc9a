"""The settings that the script of a Linux host receives, for hosts in the inventory and for this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nbserver.inventory.linux_host import LinuxFirewallSettings, own_folder
from nbserver.inventory.service_limits import TaskLimit, memory_limit, processor_quota
from nbserver.render.settings import Certificate, Notebook, Packages, ScriptSettings, Table
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, VersionPrefix, unlike


def _python_program(text: str) -> str:
    if not re.fullmatch(r"/(.+/)?bin/python3\.[0-9]{1,3}", text):
        raise refuse("python-program-path", "must be the absolute path of a Python program")
    return text


@dataclass(frozen=True)
class LinuxPackages(Packages):
    source: Annotated[Literal["auto", "distribution", "wheels"], Field(description="auto (same as wheels), distribution, or wheels")]


@dataclass(frozen=True)
class LinuxNotebook(Notebook):
    directory: Annotated[str, AfterValidator(own_folder), Field(description="the path of a folder that begins with / or ~/")]


@dataclass(frozen=True)
class LinuxPython(Table):
    program: Annotated[
        Annotated[str, AfterValidator(_python_program)] | None, Field(description="a path such as /usr/bin/python3.11, or null")
    ]
    version: Annotated[VersionPrefix | None, Field(description='a version or version prefix, such as "3.13", or null')]


@dataclass(frozen=True)
class ServiceLimits(Table):
    """The limits of the unit. In user scope, all are null."""

    cpu_quota: Annotated[
        Annotated[str, AfterValidator(processor_quota)] | None,
        Field(description='a percentage of one CPU, such as "200%", "infinity", or null'),
    ]
    memory_max: Annotated[
        Annotated[str, AfterValidator(memory_limit)] | None, Field(description='a percentage, a size such as "8G", "infinity", or null')
    ]
    tasks_max: Annotated[TaskLimit | None, Field(description='a whole number, a percentage, "infinity", or null')]


@dataclass(frozen=True)
class LinuxScriptSettings(ScriptSettings):
    certificate: Certificate
    firewall: Annotated[LinuxFirewallSettings, Field(description="a table with remote_addresses")]
    notebook: LinuxNotebook
    packages: LinuxPackages
    python: LinuxPython
    scope: Annotated[Literal["machine", "user"], Field(description='"machine" or "user"')]
    service: ServiceLimits
    skip: Annotated[
        tuple[Literal["firewall"], ...], AfterValidator(unlike), Array, Field(description='an array that is empty or contains "firewall"')
    ]
    system: Annotated[Literal["linux"], Field(description='"linux"')]
