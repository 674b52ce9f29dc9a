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
from nbserver.inventory import linux_host, windows_host
from nbserver.inventory.hosts import AnyHost, AnyLocal, Inventory, local_model
from nbserver.inventory.linux_host import LinuxHost, LinuxHostSettings
from nbserver.inventory.merging import layer_of, merge, of_model, overlap
from nbserver.inventory.names import LOCAL, name_fault
from nbserver.inventory.windows_host import WindowsHost, WindowsHostSettings
from nbserver.settings.faults import dotted, faults, kind, nearest
from nbserver.settings.toml_lines import Key, TomlFile, read

DEFAULT = Path("nbserver.toml")
TABLES = ("defaults", "groups", "hosts")
MODELS: dict[str, type[WindowsHostSettings] | type[LinuxHostSettings]] = {"windows": WindowsHostSettings, "linux": LinuxHostSettings}
HOSTS: dict[str, type[WindowsHost] | type[LinuxHost]] = {"windows": WindowsHost, "linux": LinuxHost}
CONTRADICTIONS = {"windows": windows_host.contradictions, "linux": linux_host.contradictions}
NAMES = {"windows": "Windows", "linux": "Linux"}
MISSING = "Create the inventory, name another file with -i, or run nbserver up to set up this machine without one"


def load_for(path: Path, patterns: Sequence[str]) -> Inventory:
    """Read and validate an inventory like `load`. If only `local` is selected, the file is optional: runs are then stored in the
    home folder of the user.

    Raises InventoryError, and UsageError for `local` on a system other than Linux and Windows.
    """
    if any(pattern.lower() == LOCAL for pattern in patterns) and sys.platform not in ("linux", "win32"):
        raise UsageError("only Linux and Windows are supported", where=LOCAL, todo="Select other hosts")
    if path == DEFAULT and not path.exists() and patterns and all(pattern.lower() == LOCAL for pattern in patterns):
        return Inventory(own_inventory(sys.platform), {}, {})
    return load(path)


def load(path: Path) -> Inventory:
    """Read and validate an inventory.

    Raises InventoryError with every error of the file, one per line, each with file and line. It contains no value that could be
    a secret.
    """
    file = read(path, InventoryError, missing=MISSING)
    return _Reader(file, Path(os.path.abspath(path))).inventory()  # noqa: PTH100 (a link stays a link)


class _Reader:
    """One pass over one file; `faults` collects (line, message) of every error."""

    def __init__(self, file: TomlFile, path: Path) -> None:
        self.file, self.path = file, path
        self.faults: list[tuple[int, str]] = []
        self.reported: set[Key] = set()  # keys whose value is already reported
        self.context = {"folder": path.parent}

    def inventory(self) -> Inventory:
        for key in self.file.values:
            if key not in TABLES:
                hint = nearest(key, TABLES)
                if not hint and any(key in model.model_fields for model in MODELS.values()):
                    hint = " (to set it for all hosts, move it to [defaults])"
                where = f"{dotted((key,))}: " if "for all hosts" in hint else ""  # a known key; any other could be a secret
                self._fault((key,), f"{where}unknown key{hint}; valid keys: {', '.join(TABLES)}")
        defaults = self._table(("defaults",))
        groups = self._tables("groups")
        hosts = self._tables("hosts")
        named = LOCAL in hosts
        local = self._local(hosts.pop(LOCAL)) if named else local_model(sys.platform)()
        if not hosts and not self.faults and not named:
            self._fault(("hosts",), "the inventory has no hosts; add a table [hosts.NAME]")
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
            found = faults(table, model, self.context, missing=True) or [((), error.errors()[0]["msg"])]
            for location, message in found:
                self._fault(("hosts", LOCAL, *location), f"[hosts.{LOCAL}] {message}")
            return model()

    def _host(self, name: str, settings: Mapping[str, Any]) -> AnyHost:
        return HOSTS[settings["system"]].model_validate({**settings, "name": name}, context=self.context)

    def _fault(self, key: Key, message: str) -> None:
        fault = (self.file.line(key), message)
        if fault not in self.faults:
            self.faults.append(fault)

    def _raise(self) -> None:
        if self.faults:
            (line, first), *others = sorted(self.faults, key=lambda fault: fault[0])
            text = [first, *(f"{self.file.name}:{line}: {message}" for line, message in others)]
            raise InventoryError("\n".join(text), where=f"{self.file.name}:{line}")

    def _table(self, key: Key) -> dict[str, Any]:
        value: Any = self.file.values
        for part in key:
            value = value.get(part, {})
        if isinstance(value, dict):
            return value
        place = (key[0], "NAME") if len(key) > 1 else key  # an invalid name could be a secret
        self._fault(key, f"{dotted(key[:1])}: expected a table [{dotted(place)}], found {kind(value)}")
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
                self._fault(key, f"{dotted(key[:1])}: {fault}")
                continue
            first = seen.setdefault(name.lower(), key)
            if first != key:
                line = self.file.line(first)
                self._fault(
                    key,
                    f"{dotted(key)}: the name is already used by {dotted(first)} in line {line}; names are not case-sensitive",
                )

    def _members(self, group: str, table: Mapping[str, Any], hosts: Mapping[str, Any]) -> tuple[str, ...]:
        key: Key = ("groups", group, "hosts")
        label, expected = f"[{dotted(key[:2])}] hosts", "expected an array of host names"
        if "hosts" not in table:
            self._fault(key, f"{label}: this key is required; {expected}")
            return ()
        names = table["hosts"]
        if not isinstance(names, list):
            self._fault(key, f"{label}: {expected}, found {kind(names)}")
            return ()
        members: list[str] = []
        for index, name in enumerate(names):
            if not isinstance(name, str):
                self._fault((*key, index), f"{label}: {expected}, found {kind(name)} in the array")
            elif name in members:
                self._fault((*key, index), f'{label}: "{name}" is listed twice')
            elif name in hosts:
                members.append(name)
            else:
                hint = nearest(name, hosts)
                named = ", ".join(host for host in hosts if not name_fault(host))
                self._fault((*key, index), f"{label}: no host has this name{hint}; hosts: {named or 'none'}")
        return tuple(members)

    def _check_layer(self, key: Key, table: Mapping[str, Any]) -> None:
        """Check a table whose hosts may run either system: report what is wrong for both."""
        windows, linux = (faults(table, model, self.context, missing=False) for model in MODELS.values())
        for location, message in windows:
            other = next((found for found in linux if overlap(found[0], location)), None)
            if other is not None:
                # Report the more specific location; if they are equal, the one whose system has the key.
                unknown = "unknown key" in message and "unknown key" not in other[1]
                self._report(
                    key,
                    *(other if len(other[0]) > len(location) or (unknown and len(other[0]) == len(location)) else (location, message)),
                    table,
                )

    def _check_own(self, key: Key, table: Mapping[str, Any], system: str) -> None:
        """Check the table of a host, in which each key must be one of its system."""
        other = "linux" if system == "windows" else "windows"
        strange = {location for location, words in faults(table, MODELS[other], self.context, missing=False) if "unknown key" in words}
        for location, message in faults(table, MODELS[system], self.context, missing=False):
            if "unknown key" in message and not any(location[: len(unknown)] == unknown for unknown in strange):
                message = f'{dotted(location)}: only applies to {NAMES[other]} hosts, and this host has system = "{system}"'
            self._report(key, location, message, table)

    def _report(self, key: Key, location: Key, message: str, table: Mapping[str, Any]) -> None:
        hint = ""
        if (
            len(key) == 2
            and not any(location[0] in model.model_fields for model in MODELS.values())
            and isinstance(table[str(location[0])], dict)
        ):
            hint = f'; put a name with dots in quotes: [{key[0]}."{key[1]}.example"]'
        self._fault((*key, *location), f"[{dotted(key)}] {message}{hint}")
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
            for location, message in faults(settings, MODELS[system], self.context, missing=False):
                place = layer_of(location, layers)
                if not any(overlap((*place, *location), reported) for reported in self.reported):
                    self._fault((*place, *location), f"[{dotted(place)}] {message} (host {name}, {NAMES[system]})")
        else:
            self._check_layer(("hosts", name), hosts[name])
            system = "windows"
        settings.setdefault("notebook", {})
        for _, message in self._missing(settings, system):
            self._fault(("hosts", name), f"[{dotted(('hosts', name))}] {message}")
        return settings, {key: (*place, key) for place, table in layers for key in table}

    def _missing(self, settings: Mapping[str, Any], system: str) -> list[tuple[Key, str]]:
        reported = faults(settings, MODELS[system], self.context, missing=False)
        return [fault for fault in faults(settings, MODELS[system], self.context, missing=True) if fault not in reported]

    def _check_contradictions(self, merged: Mapping[str, tuple[dict[str, Any], dict[str, Key]]]) -> None:
        """Report a contradiction that several hosts get from one table once, with their names."""
        found: dict[tuple[Key, str], list[str]] = {}
        for name, (settings, places) in merged.items():
            for key, reason in CONTRADICTIONS[_system(settings) or "windows"](settings):
                found.setdefault((places[key], f"{key}: {reason}"), []).append(name)
        for (place, message), names in found.items():
            those = f"{'host' if len(names) == 1 else 'hosts'} {', '.join(names)}"
            self._fault(place, f"[{dotted(place[:-1])}] {message} ({those})")


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
