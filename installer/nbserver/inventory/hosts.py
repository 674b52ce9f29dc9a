"""All kinds of hosts, and the inventory, which selects hosts by name, group or pattern."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.names import LOCAL
from nbserver.inventory.windows_host import WindowsHost
from nbserver.settings.faults import nearest

AnyLocal = LocalLinuxHost | LocalWindowsHost
AnyHost = WindowsHost | LinuxHost | AnyLocal


def local_model(platform: str) -> type[LocalLinuxHost] | type[LocalWindowsHost]:
    """Return the model that validates the settings of this machine. `platform` is sys.platform."""
    return LocalWindowsHost if platform == "win32" else LocalLinuxHost


@dataclass(frozen=True)
class Inventory:
    """The hosts in the order of the file; `groups` maps each group to the names of its hosts. `path` is absolute."""

    path: Path
    hosts: dict[str, AnyHost]
    groups: dict[str, tuple[str, ...]]
    local: AnyLocal = field(default_factory=lambda: local_model(sys.platform)())

    def select(self, patterns: Sequence[str]) -> list[AnyHost]:
        """Return the hosts that match a host name, a group or a glob pattern, each once, in the order of the file.

        Matching ignores case. `local` is this machine; it comes first, and no pattern matches it. Raises InventoryError for a
        pattern that matches no host.
        """
        chosen: set[str] = set()
        others = [pattern for pattern in patterns if pattern.lower() != LOCAL]
        for pattern in others:
            wanted = pattern.lower()
            members = [member for name, group in self.groups.items() if name.lower() == wanted for member in group]
            matches = members or [name for name in self.hosts if fnmatch.fnmatchcase(name.lower(), wanted)]
            if not matches and wanted not in (name.lower() for name in self.groups):
                raise self._no_match(pattern)
            chosen.update(matches)
        here: list[AnyHost] = [self.local] if len(others) < len(patterns) else []
        return here + [host for name, host in self.hosts.items() if name in chosen]

    def _no_match(self, pattern: str) -> InventoryError:
        where = str(self.path)
        hosts, groups = ", ".join(self.hosts) or None, ", ".join(self.groups) or None
        near = nearest(pattern, [*self.hosts, *self.groups])
        if near:
            return InventoryError(
                "no-match-near",
                'no host or group matches "{pattern}" (did you mean "{near}"?)',
                where=where,
                todo="Hosts: {hosts}. Groups: {groups}",
                pattern=pattern,
                near=near,
                hosts=hosts,
                groups=groups,
            )
        return InventoryError(
            "no-match",
            'no host or group matches "{pattern}"',
            where=where,
            todo="Hosts: {hosts}. Groups: {groups}",
            pattern=pattern,
            hosts=hosts,
            groups=groups,
        )
