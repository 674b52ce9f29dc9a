"""Read the inventory into validated settings for every host.

The settings of a host are [defaults], then those of its groups in the order of the file, then its own. Tables are merged key by
key; a value, an array or a reference to a secret replaces the previous one as a whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nbserver.base.errors import InventoryError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import Described, message
from nbserver.base.standard_streams import warn
from nbserver.inventory import own_server, standard_input
from nbserver.inventory.given_settings import with_given
from nbserver.inventory.groups import read_groups, without_members
from nbserver.inventory.host_list import HostList, Place, shown
from nbserver.inventory.host_settings import HostSettings, Layer, in_table, is_key_of_any
from nbserver.inventory.hosts import AnyLocal, Inventory, local_model
from nbserver.inventory.jumps import Jumps
from nbserver.inventory.merging import with_references
from nbserver.inventory.names import LOCAL, name_fault
from nbserver.inventory.selection import Selection, includes_local, is_only_local
from nbserver.settings.faults import dotted, faults, in_files, kind, nearest, unknown
from nbserver.settings.toml_lines import Key, TomlFile, parse, read
from nbserver.settings.working_file import WorkingFile

DEFAULT = Path("nbserver.toml")
STANDARD_INPUT = Path("-")
TABLES = ("defaults", "groups", "hosts")
KEYS = (*TABLES, "hosts_from", "hosts_command")


def load_for(path: Path, patterns: Sequence[str], *, commands: bool = True, given: Mapping[str, Any] | None = None) -> Inventory:
    """Read an inventory and validate the hosts that `patterns` select, like `load`.

    If only `local` is selected, the file is optional. Without one, or if it does not have [hosts.local], the inventory is the one
    from which the server of this machine was set up. If it had none, the settings are the defaults, with the port and the folder of
    the server that is set up, and runs are stored in the home folder of the user. `given` has settings of `notebook` from the command
    line, for this machine.

    Raises InventoryError, and UsageError for `local` on a system other than Linux and Windows.
    """
    if includes_local(patterns) and sys.platform not in ("linux", "win32"):
        raise UsageError(
            "local-system-unsupported",
            "nbserver cannot set up this machine, because it runs neither Linux nor Windows",
            where=LOCAL,
            todo="Remove local from the hosts that you specify",
        )
    if not is_only_local(patterns):
        return load(path, patterns, commands=commands)
    found = load(path, patterns, commands=commands) if path != DEFAULT or exists(path, denied=False) else None
    if path == DEFAULT and not (found and found.own):
        found = _of_own_server(patterns) or Inventory(own_inventory(sys.platform), {}, {})
    elif found is None:  # mypy does not see that this cannot happen
        raise AssertionError
    return with_given(found, given or {})


def _of_own_server(patterns: Sequence[str]) -> Inventory | None:
    """Return the inventory from which the server of this machine was set up, or None if it had none."""
    path = own_server.inventory_of(local_model(sys.platform)().scope)
    if path is None:
        return None
    if not exists(path, denied=True):
        warn(
            message(
                "inventory-of-server-missing",
                "local: the notebook server was set up from {path}, which no longer exists; the default settings apply",
                path=path,
            )
        )
        return None
    return load(path, patterns)


def load(path: Path, patterns: Sequence[str] | None = None, *, commands: bool = True) -> Inventory:
    """Read an inventory, and validate the hosts that `patterns` select; all hosts without `patterns`.

    Names, groups, and what hosts share are checked in any case. The settings of other hosts are not: in an inventory of 10,000
    hosts, that would take longer than the rest of most commands.

    The path `-` is standard input. Its relative paths, runs, and files next to the inventory are in the current folder.

    Without `commands`, an inventory whose hosts a program prints is refused, and the program is not run.

    Raises InventoryError with every error that was found, one per line, each with file and line. It contains no value that could be
    a secret.
    """
    file = parse(standard_input.read(), InventoryError, name=standard_input.NAME) if path == STANDARD_INPUT else _read(path)
    return _Reader(file, Path(os.path.abspath(path)), commands).inventory(patterns)  # noqa: PTH100 (a link stays a link)


def _read(path: Path) -> TomlFile:
    missing = InventoryError(
        "inventory-missing",
        "the file does not exist",
        where=str(path),
        todo="Create the inventory, specify another file with -i, or run nbserver up to set up this machine without one",
    )
    return read(WorkingFile(path, InventoryError), InventoryError, name=str(path), missing=missing)


class _Reader:
    """One pass over one file, and over the list of hosts that it names; `faults` has the place and the message of every error."""

    def __init__(self, file: TomlFile, path: Path, commands: bool) -> None:
        self.file, self.path, self.commands = file, path, commands
        self.faults: dict[tuple[bool, Place, Described], None] = {}  # in order; whether it is in the list of hosts
        self.listed: HostList | None = None
        self.context = {"folder": path.parent}
        self.settings = HostSettings(self.context)

    def inventory(self, patterns: Sequence[str] | None) -> Inventory:
        self._check_tables()
        defaults = self._table(("defaults",))
        groups = self._tables("groups")
        hosts = self._tables("hosts")
        named = LOCAL in hosts
        local = self._local(hosts.pop(LOCAL)) if named else None
        if patterns is not None and is_only_local(patterns) and "hosts_command" in self.file.values:
            groups = {}  # their hosts are not known: nothing is run for this machine
        else:
            self.listed = self._list()
        if not (hosts or self.faults or named or self.listed or "hosts_command" in self.file.values):
            self._fault(("hosts",), message("no-hosts", "the inventory has no hosts; add a [hosts.NAME] table"))
        self._check_names([*(("groups", name) for name in groups), *(("hosts", name) for name in hosts)])
        if self.listed:
            self._check_listed(self.listed, groups, hosts)
            hosts |= {name: table for name, table in self.listed.tables.items() if name not in hosts}
        found_groups = read_groups(groups, hosts, self.listed.groups if self.listed else None, self._fault)
        layers: list[Layer] = [(("defaults",), defaults)]
        layers += [(("groups", name), without_members(groups.get(name, {}))) for name in found_groups.order]
        for key, table in layers:
            if table:
                self.settings.check_layer(key, table)
        self._take_faults()
        names = tuple(name for name in hosts if not name_fault(name))
        chosen = self._choose(names, found_groups.members, patterns)
        layers_of = _layers_of([(key, with_references(table, self.context)) for key, table in layers], found_groups.members)

        def layers_with_own(name: str) -> list[Layer]:
            return [*layers_of.get(name, layers_of[""]), (("hosts", name), hosts[name])]

        host = cache(lambda name: self.settings.host(name, layers_with_own(name)[:-1], hosts[name]))
        jumps = Jumps(names, host, lambda name: next(key for key, table in reversed(layers_with_own(name)) if "jump" in table))
        found = {name: jumps.with_hops(one) for name in chosen if (one := host(name)) is not None}
        self.settings.contradictions()
        self._take_faults()
        for key, reason in jumps.found:
            self._fault(key, in_table(key[:-1], reason))
        self._raise()
        listed = frozenset(self.listed.tables if self.listed else ())
        return Inventory(
            self.path,
            found,
            found_groups.members,
            local,
            names,
            listed,
            {name: hosts[name] for name in found},
            sha256(self.file.content).hexdigest(),
            self.listed.name if self.listed else "",
            self.listed.sha256 if self.listed else "",
        )

    def _choose(self, names: Sequence[str], members: Mapping[str, Sequence[str]], patterns: Sequence[str] | None) -> Sequence[str]:
        if patterns is None:
            return names
        try:
            return [name for name in Selection(self.path, names, members).choose(patterns) if name != LOCAL]
        except InventoryError:
            self._raise()  # the errors of the file come first: the pattern may be right
            raise

    def _check_tables(self) -> None:
        for key in self.file.values:
            if key not in KEYS:
                near = nearest(key, KEYS)
                if not near and is_key_of_any(key):  # a known key; any other could be a secret
                    self._fault(
                        (key,),
                        message(
                            "key-of-defaults",
                            "{key}: unknown key (to set it for all hosts, move it to [defaults]); valid keys: {keys}",
                            key=dotted((key,)),
                            keys=", ".join(KEYS),
                        ),
                    )
                else:
                    self._fault((key,), unknown(near, KEYS))

    def _local(self, table: Mapping[str, Any]) -> AnyLocal:
        """Return the settings of this machine. [defaults] and groups do not apply to it."""
        model = local_model(sys.platform)
        try:
            return model.model_validate(table, context=self.context)
        except ValidationError as error:
            broken: list[tuple[Key, Described]] = [*faults(table, model, self.context, missing=True)]
            for location, reason in broken or [((), error.errors()[0]["ctx"]["reason"])]:
                self._fault(("hosts", LOCAL, *location), in_table(("hosts", LOCAL), reason))
            return model()

    def _list(self) -> HostList | None:
        """Return the hosts that are not in the inventory itself, or None if there are none."""
        name, command = self.file.values.get("hosts_from"), self.file.values.get("hosts_command")
        if command is not None and name is not None:
            self._fault(
                ("hosts_command",),
                message("hosts-command-with-file", "hosts_command: cannot be combined with hosts_from; use one or the other"),
            )
            return HostList()
        if command is not None:
            return self._taken(self._printed(command))
        if name is None:
            return None
        if not isinstance(name, str) or not name:
            self._fault(("hosts_from",), message("hosts-from-invalid", "hosts_from: expected the path of a CSV or JSON file"))
            return HostList()
        from nbserver.inventory import hosts_from

        return self._taken(hosts_from.read(Path(os.path.abspath(self.path.parent / os.path.expanduser(name)))))  # noqa: PTH100, PTH111

    def _printed(self, command: Any) -> HostList:
        """Return the hosts that the program prints."""
        if not isinstance(command, list) or not command or not all(isinstance(text, str) for text in command) or not command[0]:
            self._fault(
                ("hosts_command",),
                message(
                    "hosts-command-invalid",
                    'hosts_command: expected an array with a program and its arguments, such as ["ansible-inventory", "--list"]',
                ),
            )
            return HostList()
        where = self.file.where(("hosts_command",))
        if not self.commands:
            raise InventoryError(
                "hosts-command-not-run",
                "the inventory gets its hosts from hosts_command, but this nbserver command does not run other programs",
                where=where,
                todo='Write the hosts to a file (nbserver hosts "*" --listed --json > hosts.json), then replace hosts_command in the inventory with hosts_from = "hosts.json"',
            )
        from nbserver.inventory import hosts_command

        return hosts_command.read(command, self.path.parent, where=where)

    def _taken(self, found: HostList) -> HostList:
        for place, reason in found.faults:
            self.faults[True, place, reason] = None
        return found

    def _check_listed(self, listed: HostList, groups: Mapping[str, Any], hosts: Mapping[str, Any]) -> None:
        """Report the hosts and groups of the list whose names something else in the inventory has."""
        used: dict[str, Key] = {name.lower(): ("hosts", name) for name in hosts}
        for name in listed.groups:
            if name.lower() in used:
                first = used[name.lower()]
                self._fault(
                    first,
                    message("name-of-listed-group", "{key}: a group in {list} has the same name", key=dotted(first), list=listed.name),
                )
        used |= {name.lower(): ("groups", name) for name in [*groups, *listed.groups]}
        for name in listed.tables:
            if name.lower() in used:
                first = used[name.lower()]
                self.faults[
                    True,
                    listed.places[name],
                    message(
                        "name-of-inventory",
                        '"{name}" is already the name of {other} in {inventory}; names are not case-sensitive',
                        name=name,
                        other=dotted(first),
                        inventory=self.file.name,
                    ),
                ] = None

    def _fault(self, key: Key, reason: Described) -> None:
        if self.listed and key[:1] == ("hosts",) and len(key) > 1 and key[1] in self.listed.places:
            self.faults[True, self.listed.places[str(key[1])], reason] = None
        else:
            self.faults[False, (self.file.name, self.file.line(key)), reason] = None

    def _take_faults(self) -> None:
        """Take the faults in the settings of hosts, with their lines."""
        for key, reason in self.settings.found:
            self._fault(key, reason)
        self.settings.found.clear()

    def _raise(self) -> None:
        if self.faults:
            found = [(*place, reason) for _, place, reason in sorted(self.faults, key=lambda fault: fault[:2])]
            raise InventoryError(
                "inventory-invalid", "{faults}", where=shown((found[0][0], found[0][1])), faults=in_files(self.file.name, found)
            )

    def _table(self, key: Key) -> dict[str, Any]:
        value: Any = self.file.values
        for part in key:
            value = value.get(part, {})
        if isinstance(value, dict):
            return value
        place = (key[0], "NAME") if len(key) > 1 else key  # an invalid name could be a secret
        self._fault(
            key,
            message(
                "not-a-table",
                "{key}: expected a [{table}] table, found {kind}",
                key=dotted(key[:1]),
                table=dotted(place),
                kind=kind(value),
            ),
        )
        return {}

    def _tables(self, key: str) -> dict[str, dict[str, Any]]:
        """Return the named tables under `key`, in the order of the file."""
        found = self._table((key,))
        tables = {name: self._table((key, name)) for name in found}
        return {name: table for name, table in tables.items() if isinstance(found[name], dict)}

    def _check_names(self, keys: Sequence[Key]) -> None:
        seen: dict[str, Key] = {}
        for key in keys:
            name = str(key[1])
            fault = name_fault(name)
            if fault:
                self._fault(key, message("setting-invalid", "{key}: {reason}", key=dotted(key[:1]), reason=fault))
                continue
            first = seen.setdefault(name.lower(), key)
            if first != key:
                line = self.file.line(first)
                self._fault(
                    key,
                    message(
                        "name-twice",
                        "{key}: the name is already used by {other} on line {line}; names are not case-sensitive",
                        key=dotted(key),
                        other=dotted(first),
                        line=line,
                    ),
                )


def _layers_of(layers: Sequence[Layer], members: Mapping[str, Sequence[str]]) -> dict[str, list[Layer]]:
    """Return the layers of each host that is in a group, and of "", a host in none: the defaults, and its groups in the order of the file."""
    found: dict[str, list[Layer]] = {"": [layers[0]]}
    for key, table in layers[1:]:
        for name in members[str(key[1])]:
            found.setdefault(name, [layers[0]]).append((key, table))
    return found


def own_inventory(platform: str) -> Path:
    """Return where the inventory would be if it existed. The runs of this machine are stored next to it.

    `platform` is sys.platform. Raises UsageError without a home folder.
    """
    return own_server.state_folder(platform) / "nbserver.toml"
