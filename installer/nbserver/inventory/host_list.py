"""Hosts from another file than the inventory, or from a program: each with its settings, its groups, and where it is listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbserver.base.message import Described, message
from nbserver.inventory.names import name_fault
from nbserver.settings.faults import dotted

Place = tuple[str, int]
"""The name of a file and a line in it; 0 if the line is not known."""


def shown(place: Place) -> str:
    return f"{place[0]}:{place[1]}" if place[1] else place[0]


@dataclass
class HostList:
    """The hosts of one file or program. `name` is its name in messages.

    `sha256` is the hash of the file or the output. `tables` maps each host to its settings, like [hosts.NAME], `places` to where it is, and `groups` maps groups to their hosts.
    """

    name: str = ""
    sha256: str = ""
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    faults: list[tuple[Place, Described]] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _group_names: dict[str, str] = field(default_factory=dict)

    def fault(self, line: int, reason: Described) -> None:
        self.faults.append(((self.name, line), reason))

    def add(self, name: str, line: int, table: Mapping[str, Any]) -> bool:
        """Add a host and return true, or report why it cannot have this name."""
        reason = name_fault(name)
        if reason:
            self.fault(line, message("setting-invalid", "{key}: {reason}", key="name", reason=reason))
            return False
        first = self._names.setdefault(name.lower(), name)
        if first in self.tables:
            self.fault(
                line,
                message(
                    "listed-twice",
                    '"{name}" is already listed in {place}; names are not case-sensitive',
                    name=name,
                    place=shown(self.places[first]),
                ),
            )
            return False
        self.tables[name], self.places[name] = dict(table), (self.name, line)
        return True

    def join(self, group: str, host: str, line: int) -> None:
        """Add a host of this list to a group, or report why a group cannot have this name."""
        reason = name_fault(group)
        if reason:
            self.fault(line, message("group-name-invalid", "[{table}] groups: {reason}", table=dotted(("hosts", host)), reason=reason))
            return
        members = self.groups.setdefault(self._group_names.setdefault(group.lower(), group), [])
        if not members or members[-1] != host:
            members.append(host)
