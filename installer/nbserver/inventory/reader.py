"""Read the inventory into validated settings for every host.

The settings of a host are [defaults], then those of its groups in the order of the file, then its own. Tables are merged key by
key; a value, an array or a reference to a secret replaces the previous one as a whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nbserver.base import user_folders
from nbserver.base.errors import InventoryError, UsageError
from nbserver.base.message import Described, Message, message
from nbserver.inventory import linux_host, windows_host
from nbserver.inventory.hosts import AnyHost, AnyLocal, Inventory, local_model
from nbserver.inventory.linux_host import LinuxHost, LinuxHostSettings
from nbserver.inventory.merging import layer_of, merge, of_model, overlap
from nbserver.inventory.names import LOCAL, name_fault
from nbserver.inventory.windows_host import WindowsHost, WindowsHostSettings
from nbserver.settings.faults import Fault, dotted, faults, in_file, is_unknown_key, kind, nearest, unknown
from nbserver.settings.toml_lines import Key, TomlFile, read
from nbserver.settings.working_file import WorkingFile

DEFAULT = Path("nbserver.toml")
TABLES = ("defaults", "groups", "hosts")
MODELS: dict[str, type[WindowsHostSettings] | type[LinuxHostSettings]] = {"windows": WindowsHostSettings, "linux": LinuxHostSettings}
HOSTS: dict[str, type[WindowsHost] | type[LinuxHost]] = {"windows": WindowsHost, "linux": LinuxHost}
CONTRADICTIONS = {"windows": windows_host.contradictions, "linux": linux_host.contradictions}
NAMES = {"windows": "Windows", "linux": "Linux"}


def load_for(path: Path, patterns: Sequence[str]) -> Inventory:
    """Read and validate an inventory like `load`. If only `local` is selected, the file is optional: runs are then stored in the
    home folder of the user.

    Raises InventoryError, and UsageError for `local` on a system other than Linux and Windows.
    """
    if any(pattern.lower() == LOCAL for pattern in patterns) and sys.platform not in ("linux", "win32"):
        raise UsageError("local-system-unsupported", "only Linux and Windows are supported", where=LOCAL, todo="Select other hosts")
    if path == DEFAULT and not path.exists() and patterns and all(pattern.lower() == LOCAL for pattern in patterns):
        return Inventory(own_inventory(sys.platform), {}, {})
    return load(path)


def load(path: Path) -> Inventory:
    """Read and validate an inventory.

    Raises InventoryError with every error of the file, one per line, each with file and line. It contains no value that could be
    a secret.
    """
    missing = InventoryError(
        "inventory-missing",
        "the file does not exist",
        where=str(path),
        todo="Create the inventory, specify another file with -i, or run nbserver up to set up this machine without one",
    )
    file = read(WorkingFile(path, InventoryError), InventoryError, name=str(path), missing=missing)
    return _Reader(file, Path(os.path.abspath(path))).inventory()  # noqa: PTH100 (a link stays a link)


class _Reader:
    """One pass over one file; `faults` collects (line, message) of every error."""

    def __init__(self, file: TomlFile, path: Path) -> None:
        self.file, self.path = file, path
        self.faults: list[tuple[int, Described]] = []
        self.reported: set[Key] = set()  # keys whose value is already reported
        self.context = {"folder": path.parent}

    def inventory(self) -> Inventory:
        for key in self.file.values:
            if key not in TABLES:
                near = nearest(key, TABLES)
                if not near and any(key in model.model_fields for model in MODELS.values()):  # a known key; any other could be a secret
                    self._fault(
                        (key,),
                        message(
                            "key-of-defaults",
                            "{key}: unknown key (to set it for all hosts, move it to [defaults]); valid keys: {keys}",
                            key=dotted((key,)),
                            keys=", ".join(TABLES),
                        ),
                    )
                else:
                    self._fault((key,), unknown(near, TABLES))
        defaults = self._table(("defaults",))
        groups = self._tables("groups")
        hosts = self._tables("hosts")
        named = LOCAL in hosts
        local = self._local(hosts.pop(LOCAL)) if named else local_model(sys.platform)()
        if not hosts and not self.faults and not named:
            self._fault(("hosts",), message("no-hosts", "the inventory has no hosts; add a [hosts.NAME] table"))
        self._check_names([*(("groups", name) for name in groups), *(("hosts", name) for name in hosts)])
        members = {name: self._members(name, groups[name], hosts) for name in groups}
        self._check_layer(("defaults",), defaults)
        for name, table in groups.items():
            self._check_layer(("groups", name), {key: value for key, value in table.items() if key != "hosts"})
        merged = {name: self._merge(name, defaults, groups, members, hosts) for name in hosts if not name_fault(name)}
        self._check_contradictions(merged)
        self._raise()
        return Inventory(self.path, {name: self._host(name, settings) for name, (settings, _) in merged.items()}, members, local)

    def _local(self, table: Mapping[str, Any]) -> AnyLocal:
        """Return the settings of this machine. [defaults] and groups do not apply to it."""
        model = local_model(sys.platform)
        try:
            return model.model_validate(table, context=self.context)
        except ValidationError as error:
            broken: list[tuple[Key, Described]] = [*faults(table, model, self.context, missing=True)]
            for location, reason in broken or [((), error.errors()[0]["ctx"]["reason"])]:
                self._fault(("hosts", LOCAL, *location), _in_table(("hosts", LOCAL), reason))
            return model()

    def _host(self, name: str, settings: Mapping[str, Any]) -> AnyHost:
        return HOSTS[settings["system"]].model_validate({**settings, "name": name}, context=self.context)

    def _fault(self, key: Key, reason: Described) -> None:
        fault = (self.file.line(key), reason)
        if fault not in self.faults:
            self.faults.append(fault)

    def _raise(self) -> None:
        if self.faults:
            found = sorted(self.faults, key=lambda fault: fault[0])
            raise InventoryError(
                "inventory-invalid", "{faults}", where=f"{self.file.name}:{found[0][0]}", faults=in_file(self.file.name, found)
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
        order = [str(place[1]) for place in self.file.lines if len(place) == 2 and place[0] == key]
        tables = {name: self._table((key, name)) for name in order if name in found}
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

    def _members(self, group: str, table: Mapping[str, Any], hosts: Mapping[str, Any]) -> tuple[str, ...]:
        key: Key = ("groups", group, "hosts")
        table_name = dotted(key[:2])
        if "hosts" not in table:
            self._fault(
                key,
                message("members-required", "[{group}] hosts: this key is required; expected an array of host names", group=table_name),
            )
            return ()
        names = table["hosts"]
        if not isinstance(names, list):
            self._fault(
                key,
                message(
                    "members-not-array",
                    "[{group}] hosts: expected an array of host names, found {kind}",
                    group=table_name,
                    kind=kind(names),
                ),
            )
            return ()
        members: list[str] = []
        by_name = {host.lower(): host for host in hosts}
        for index, name in enumerate(names):
            if not isinstance(name, str):
                self._fault(
                    (*key, index),
                    message(
                        "member-not-text",
                        "[{group}] hosts: expected an array of host names, found {kind} in the array",
                        group=table_name,
                        kind=kind(name),
                    ),
                )
            elif by_name.get(name.lower()) in members:
                self._fault(
                    (*key, index), message("member-twice", '[{group}] hosts: "{name}" is listed twice', group=table_name, name=name)
                )
            elif name.lower() in by_name:
                members.append(by_name[name.lower()])
            else:
                self._fault((*key, index), _no_such_member(table_name, name, hosts))
        return tuple(members)

    def _check_layer(self, key: Key, table: Mapping[str, Any]) -> None:
        """Check a table whose hosts may run either system: report what is wrong for both."""
        windows, linux = (faults(table, model, self.context, missing=False) for model in MODELS.values())
        for location, reason in windows:
            other = next((found for found in linux if overlap(found[0], location)), None)
            if other is not None:
                # Report the more specific location; if they are equal, the one whose system has the key.
                unknown_here = is_unknown_key(reason) and not is_unknown_key(other[1])
                self._report(
                    key,
                    *(other if len(other[0]) > len(location) or (unknown_here and len(other[0]) == len(location)) else (location, reason)),
                    table,
                )

    def _check_own(self, key: Key, table: Mapping[str, Any], system: str) -> None:
        """Check the table of a host, in which each key must be one of its system."""
        other = "linux" if system == "windows" else "windows"
        strange = {location for location, reason in faults(table, MODELS[other], self.context, missing=False) if is_unknown_key(reason)}
        for location, reason in faults(table, MODELS[system], self.context, missing=False):
            if is_unknown_key(reason) and not any(location[: len(unknown)] == unknown for unknown in strange):
                reason = message(
                    "key-of-other-system",
                    '{key}: only applies to {other} hosts, but this host has system = "{system}"',
                    key=dotted(location),
                    other=NAMES[other],
                    system=system,
                )
            self._report(key, location, reason, table)

    def _report(self, key: Key, location: Key, reason: Described, table: Mapping[str, Any]) -> None:
        found = _in_table(key, reason)
        if (
            len(key) == 2
            and not any(location[0] in model.model_fields for model in MODELS.values())
            and isinstance(table[str(location[0])], dict)
        ):
            found = message(
                "dotted-name-without-quotes",
                '{reason}; put a name with dots in quotes: [{table}."{name}.example"]',
                reason=found,
                table=str(key[0]),
                name=str(key[1]),
            )
        self._fault((*key, *location), found)
        self.reported.add((*key, *location))

    def _merge(
        self,
        name: str,
        defaults: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]],
        members: Mapping[str, tuple[str, ...]],
        hosts: Mapping[str, Mapping[str, Any]],
    ) -> tuple[dict[str, Any], dict[str, Key]]:
        """Return the settings of a host and, for every top-level key, the table that its value comes from.

        Keys of a layer that only apply to the other system are left out.
        """
        own = [group for group in groups if name in members[group]]
        layers: list[tuple[Key, Mapping[str, Any]]] = [(("defaults",), defaults)]
        layers += [(("groups", g), {k: v for k, v in groups[g].items() if k != "hosts"}) for g in own]
        layers += [(("hosts", name), hosts[name])]
        settings = merge(*(table for _, table in layers))
        system = _system(settings)
        if system:
            self._check_own(("hosts", name), hosts[name], system)
            settings = of_model(settings, MODELS[system])
            for location, reason in faults(settings, MODELS[system], self.context, missing=False):
                place = layer_of(location, layers)
                if not any(overlap((*place, *location), reported) for reported in self.reported):
                    self._fault(
                        (*place, *location),
                        message(
                            "setting-of-host",
                            "[{table}] {reason} (host {name}, {system})",
                            table=dotted(place),
                            reason=reason,
                            name=name,
                            system=NAMES[system],
                        ),
                    )
        else:
            self._check_layer(("hosts", name), hosts[name])
            system = "windows"
        settings.setdefault("notebook", {})
        for _, reason in self._missing(settings, system):
            self._fault(("hosts", name), _in_table(("hosts", name), reason))
        return settings, {key: (*place, key) for place, table in layers for key in table}

    def _missing(self, settings: Mapping[str, Any], system: str) -> list[Fault]:
        reported = faults(settings, MODELS[system], self.context, missing=False)
        return [fault for fault in faults(settings, MODELS[system], self.context, missing=True) if fault not in reported]

    def _check_contradictions(self, merged: Mapping[str, tuple[dict[str, Any], dict[str, Key]]]) -> None:
        """Report a contradiction that several hosts get from one table once, with their names."""
        found: dict[tuple[Key, Message], list[str]] = {}
        for name, (settings, places) in merged.items():
            for key, reason in CONTRADICTIONS[_system(settings) or "windows"](settings):
                fault = message("setting-invalid", "{key}: {reason}", key=key, reason=reason)
                found.setdefault((places[key], fault), []).append(name)
        for (place, fault), names in found.items():
            self._fault(place, _of_hosts(dotted(place[:-1]), fault, names))


def _in_table(key: Key, reason: Described) -> Message:
    return message("setting-in-table", "[{table}] {reason}", table=dotted(key), reason=reason)


def _of_hosts(table: str, reason: Described, names: Sequence[str]) -> Message:
    if len(names) == 1:
        return message("settings-contradict-of-host", "[{table}] {reason} (host {name})", table=table, reason=reason, name=names[0])
    return message("settings-contradict-of-hosts", "[{table}] {reason} (hosts {names})", table=table, reason=reason, names=", ".join(names))


def _no_such_member(group: str, name: str, hosts: Mapping[str, Any]) -> Message:
    named = ", ".join(host for host in hosts if not name_fault(host)) or None
    near = nearest(name, hosts)
    if near:
        return message(
            "no-such-member-near",
            '[{group}] hosts: no host has this name (did you mean "{near}"?); known hosts: {hosts}',
            group=group,
            near=near,
            hosts=named,
        )
    return message("no-such-member", "[{group}] hosts: no host has this name; known hosts: {hosts}", group=group, hosts=named)


def _system(settings: Mapping[str, Any]) -> str:
    """Return the system of the host, or an empty string if it is missing or unknown."""
    system = settings.get("system")
    return system if isinstance(system, str) and system in MODELS else ""


def own_inventory(platform: str) -> Path:
    """Return where the inventory would be if it existed. The runs of this machine are stored next to it.

    `platform` is sys.platform. Raises UsageError without a home folder.
    """
    folder = user_folders.folder("LOCALAPPDATA") if platform == "win32" else user_folders.home() / ".local" / "state"
    return folder / "nbserver.toml"
