"""All kinds of hosts, and the inventory, which selects hosts by name, group or pattern."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nbserver.inventory.names import LOCAL
from nbserver.inventory.selection import Selection

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost

AnyLocal: TypeAlias = "LocalLinuxHost | LocalWindowsHost"
AnyHost: TypeAlias = "WindowsHost | LinuxHost | LocalLinuxHost | LocalWindowsHost"


def local_model(platform: str) -> type[LocalLinuxHost] | type[LocalWindowsHost]:
    """Return the model that validates the settings of this machine. `platform` is sys.platform."""
    if platform == "win32":
        from nbserver.inventory.local_windows_host import LocalWindowsHost

        return LocalWindowsHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost

    return LocalLinuxHost


@dataclass(frozen=True)
class Inventory:
    """The hosts in the order of the file; `groups` maps each group to the names of its hosts. `path` is absolute.

    `hosts` are those that were validated: all of them, or only those that were selected when the file was read. `names` are the names
    of all hosts; None is those in `hosts`. `own` are the settings of [hosts.local], or None for the defaults. `listed` are those from
    `hosts_from` or `hosts_command`, and `tables` has the table of each validated host as it is written, without defaults and groups.
    `sha256` is the hash of the file as it was read, and `list_sha256` that of the list with the name `list_name`, if there is one.
    """

    path: Path
    hosts: dict[str, AnyHost]
    groups: dict[str, tuple[str, ...]]
    own: AnyLocal | None = None
    names: tuple[str, ...] | None = None
    listed: frozenset[str] = frozenset()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    sha256: str | None = None
    list_name: str = ""
    list_sha256: str = ""

    @cached_property
    def local(self) -> AnyLocal:
        """This machine."""
        return self.own or local_model(sys.platform)()

    def select(self, patterns: Sequence[str]) -> list[AnyHost]:
        """Return the hosts that the patterns select, each once, in the order of the file: see `inventory.selection`.

        `local` is this machine; it comes first. Raises InventoryError for a pattern that matches no host.
        """
        return [self.local if name == LOCAL else self.hosts[name] for name in self.names_of(patterns)]

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of all hosts of the inventory, also of those that were not validated."""
        return tuple(self.hosts) if self.names is None else self.names

    def names_of(self, patterns: Sequence[str]) -> list[str]:
        """Return the names of the hosts that the patterns select, also of those that were not validated. Otherwise as `select`."""
        return Selection(self.path, self.all_names, self.groups).choose(patterns)
