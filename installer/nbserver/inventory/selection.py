"""Select the names of hosts by name, group, or pattern."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.inventory.names import LOCAL
from nbserver.settings.faults import few, nearest


@dataclass(frozen=True)
class Selection:
    """What can be selected: the names of all hosts, in the order of the inventory, and the hosts of each group. `path` is for messages."""

    path: Path
    names: Sequence[str]
    groups: Mapping[str, Sequence[str]]

    def choose(self, patterns: Sequence[str]) -> list[str]:
        """Return the names that match a host name, a group or a glob pattern, each once, in the order of the inventory.

        Matching ignores case. `local` is no name of an inventory, and ignored. Raises InventoryError for a pattern that matches no host.
        """
        hosts = {name.lower(): name for name in self.names}
        groups = {name.lower(): members for name, members in self.groups.items()}
        chosen: set[str] = set()
        for pattern in patterns:
            wanted = pattern.lower()
            if wanted == LOCAL:
                continue
            if wanted in groups:
                matches: Sequence[str] = groups[wanted]
            elif wanted in hosts:
                matches = [hosts[wanted]]
            else:
                matches = [hosts[name] for name in fnmatch.filter(hosts, wanted)]
            if not matches and wanted not in groups:
                raise self._no_match(pattern)
            chosen.update(matches)
        return [name for name in self.names if name in chosen]

    def _no_match(self, pattern: str) -> InventoryError:
        where = str(self.path)
        hosts, groups = few(self.names), few(self.groups)
        near = nearest(pattern, [*self.names, *self.groups])
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
