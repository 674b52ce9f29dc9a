"""The groups of an inventory: their hosts, and the groups in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from nbserver.base.message import Described, Message, message
from nbserver.inventory.names import name_fault
from nbserver.settings.faults import Nearest, dotted, few, kind
from nbserver.settings.toml_lines import Key

MEMBERS = ("hosts", "groups")
"""The keys of a group that are not settings."""


@dataclass(frozen=True)
class Groups:
    """`members` maps each group, in the order of the file, to the hosts in it and in its groups.

    `order` has each group after the groups that contain it, and otherwise the order of the file: settings of a later one count.
    """

    members: dict[str, tuple[str, ...]]
    order: tuple[str, ...]


Report = Callable[[Key, Described], None]
"""Takes the place of a fault in the inventory, and what is wrong."""


def without_members(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a group."""
    return {key: value for key, value in table.items() if key not in MEMBERS}


def read_groups(
    groups: Mapping[str, Mapping[str, Any]], hosts: Mapping[str, Any], listed: Mapping[str, Sequence[str]] | None, report: Report
) -> Groups:
    """Return the groups. Faults are reported, and what they concern is left out.

    `listed` maps groups to their hosts that are not in the inventory itself; None if all hosts are in it.
    """
    group_names = {group.lower(): group for group in [*(listed or ()), *groups]}
    known_hosts, known_groups = _Known({host.lower(): host for host in hosts}), _Known(group_names)
    own: dict[str, list[str]] = {}
    inner: dict[str, list[str]] = {}
    for name, table in groups.items():
        own[name] = _Array(name, "hosts", report).names(table, known_hosts, required=listed is None and "groups" not in table)
        inner[name] = _Array(name, "groups", report).names(table, known_groups, required=False)
    for name, names in (listed or {}).items():
        group = group_names[name.lower()]
        own[group] = list(dict.fromkeys([*own.get(group, ()), *names]))
        inner.setdefault(group, [])
    chain = _cycle(inner)
    if chain:
        report(
            ("groups", chain[0], "groups"),
            message(
                "group-in-itself",
                "[{group}] groups: the group contains itself: {chain}",
                group=dotted(("groups", chain[0])),
                chain=" > ".join([*chain, chain[0]]),
            ),
        )
        return Groups({group: tuple(own[group]) for group in own}, tuple(own))
    members: dict[str, dict[str, None]] = {}
    order = _inner_first(own, inner)
    for name in order:
        members[name] = dict.fromkeys(own[name])
        for group in inner[name]:
            members[name].update(members[group])
    containing: dict[str, list[str]] = {name: [] for name in own}
    for name in own:
        for group in inner[name]:
            containing[group].append(name)
    return Groups({name: tuple(members[name]) for name in own}, tuple(_inner_first(own, containing)))


def _inner_first(names: Iterable[str], below: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names in their order, but each after those below it. There is no cycle."""
    found: dict[str, None] = {}
    for start in names:
        waiting = [start]
        while waiting:
            name = waiting[-1]
            missing = [inner for inner in below[name] if inner not in found]
            if missing:
                waiting += reversed(missing)
            else:
                found[waiting.pop()] = None
    return list(found)


def _cycle(inner: Mapping[str, Sequence[str]]) -> list[str]:
    """Return groups of which each contains the next, and the last one the first, or an empty list."""
    try:
        TopologicalSorter(inner).prepare()
    except CycleError as error:
        chain: list[str] = error.args[1][:0:-1]
        first = next(index for name in inner for index, other in enumerate(chain) if name == other)
        return chain[first:] + chain[:first]
    return []


@dataclass(frozen=True)
class _Known:
    """The names that exist, by their names in lower case."""

    names: Mapping[str, str]
    nearest: Nearest = field(default_factory=Nearest)

    @cached_property
    def shown(self) -> str | Message | None:
        """The names for a message. An invalid one could be a secret."""
        return few([name for name in self.names.values() if not name_fault(name)])


class _Array:
    """The array `hosts` or `groups` of a group."""

    def __init__(self, group: str, what: str, report: Report) -> None:
        self.key: Key = ("groups", group, what)
        self.table, self.what, self._report = dotted(self.key[:2]), what, report

    def names(self, table: Mapping[str, Any], known: _Known, *, required: bool) -> list[str]:
        """Return the members as they are written in their own tables."""
        if self.what not in table:
            if required:
                self._report(
                    self.key,
                    message(
                        "members-required",
                        "[{group}]: hosts or groups is required; expected an array of host names in hosts, or of group names in groups",
                        group=self.table,
                    ),
                )
            return []
        names = table[self.what]
        if not isinstance(names, list):
            self._report(self.key, self._not_array(names))
            return []
        members: dict[str, None] = {}
        for index, name in enumerate(names):
            if not isinstance(name, str):
                self._report((*self.key, index), self._not_text(name))
            elif name.lower() not in known.names:
                self._report((*self.key, index), self._unknown(index + 1, name, known))
            elif known.names[name.lower()] in members:
                self._report(
                    (*self.key, index),
                    message("member-twice", '[{group}] {key}: "{name}" is listed twice', group=self.table, key=self.what, name=name),
                )
            else:
                members[known.names[name.lower()]] = None
        return list(members)

    def _not_array(self, value: Any) -> Message:
        return message(
            "members-not-array",
            "[{group}] {key}: expected an array of names, found {kind}",
            group=self.table,
            key=self.what,
            kind=kind(value),
        )

    def _not_text(self, value: Any) -> Message:
        return message(
            "member-not-text",
            "[{group}] {key}: expected an array of names, found {kind} in the array",
            group=self.table,
            key=self.what,
            kind=kind(value),
        )

    def _unknown(self, number: int, name: str, known: _Known) -> Message:
        named, near = known.shown, known.nearest.of(name, known.names.values())
        if self.what == "groups":
            if near:
                return message(
                    "no-such-group-near",
                    '[{group}] groups: entry {number} is not the name of a group (did you mean "{near}"?); known groups: {groups}',
                    group=self.table,
                    number=number,
                    near=near,
                    groups=named,
                )
            return message(
                "no-such-group",
                "[{group}] groups: entry {number} is not the name of a group; known groups: {groups}",
                group=self.table,
                number=number,
                groups=named,
            )
        if near:
            return message(
                "no-such-member-near",
                '[{group}] hosts: entry {number} is not the name of a host (did you mean "{near}"?); known hosts: {hosts}',
                group=self.table,
                number=number,
                near=near,
                hosts=named,
            )
        return message(
            "no-such-member",
            "[{group}] hosts: entry {number} is not the name of a host; known hosts: {hosts}",
            group=self.table,
            number=number,
            hosts=named,
        )
