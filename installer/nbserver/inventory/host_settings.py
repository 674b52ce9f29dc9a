"""Check the settings of hosts, layer by layer, and find the table and the line of every error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nbserver.base.message import Described, Message, message
from nbserver.inventory import windows_transport
from nbserver.inventory.merging import layer_of, merge, of_model, overlap
from nbserver.settings.faults import Fault, dotted, faults, few, is_unknown_key
from nbserver.settings.toml_lines import Key

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost, LinuxHostSettings
    from nbserver.inventory.windows_host import WindowsHost, WindowsHostSettings

NAMES = {"windows": "Windows", "linux": "Linux"}

Layer = tuple[Key, Mapping[str, Any]]
"""The table of an inventory, without the members of a group, and where it is."""


def model_of(system: str) -> type[WindowsHostSettings] | type[LinuxHostSettings]:
    """Return the model of the keys of a host. It is imported when it is needed: few inventories have hosts of both systems."""
    if system == "linux":
        from nbserver.inventory.linux_host import LinuxHostSettings

        return LinuxHostSettings
    from nbserver.inventory.windows_host import WindowsHostSettings

    return WindowsHostSettings


def _host_model(system: str) -> type[WindowsHost] | type[LinuxHost]:
    if system == "linux":
        from nbserver.inventory.linux_host import LinuxHost

        return LinuxHost
    from nbserver.inventory.windows_host import WindowsHost

    return WindowsHost


def _contradictions(system: str, settings: Mapping[str, Any]) -> Iterable[tuple[str, Described]]:
    from nbserver.inventory import linux_host, windows_host

    return linux_host.contradictions(settings) if system == "linux" else windows_host.contradictions(settings)


def is_key_of_any(key: object) -> bool:
    """Return whether hosts of a system have this key."""
    return any(key in model_of(system).model_fields for system in NAMES)


class HostSettings:
    """The settings of the hosts of an inventory. `found` has the faults: where each one is, and what is wrong.

    `context` is that of the models: the folder of the inventory.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self.context = context
        self.found: list[tuple[Key, Described]] = []
        self._reported: set[Key] = set()  # keys whose value is already reported
        self._above_reported: set[Key] = set()  # and the tables around them
        self._broken: dict[str, tuple[dict[str, Any], dict[str, Key]]] = {}

    def host(self, name: str, shared: Sequence[Layer], own: Mapping[str, Any]) -> AnyHost | None:
        """Return the host with the settings of `shared`, the defaults and groups, and its own; None if something is wrong.

        Keys of `shared` that only apply to the other system, or to another transport, are left out. `contradictions` completes the faults.
        """
        layers = [*shared, (("hosts", name), own)]
        settings = merge(*(table for _, table in layers))
        system = system_of(settings)
        if system == "windows":
            layers = [*((place, windows_transport.applicable(table, settings)) for place, table in shared), layers[-1]]
            settings = merge(*(table for _, table in layers))
        if system and of_model(own, model_of(system)) == own:
            settings = of_model(settings, model_of(system))
            try:
                return _host_model(system).model_validate({**settings, "name": name}, context=self.context)
            except ValidationError:
                pass
        self._broken[name] = self._explain(name, layers, settings), {key: (*place, key) for place, table in layers for key in table}
        return None

    def _explain(self, name: str, layers: Sequence[Layer], settings: dict[str, Any]) -> dict[str, Any]:
        """Find what is wrong with a host, and return its settings without keys of the other system."""
        system, own = system_of(settings), layers[-1][1]
        if system:
            self._check_own(("hosts", name), own, system)
            settings = of_model(settings, model_of(system))
            for location, reason in faults(settings, model_of(system), self.context, missing=False):
                place = layer_of(location, layers)
                if not self._is_reported((*place, *location)):
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
            self.check_layer(("hosts", name), own)
            system = "windows"
        settings.setdefault("notebook", {})
        for _, reason in self._missing(settings, system):
            self._fault(("hosts", name), in_table(("hosts", name), reason))
        return settings

    def _fault(self, key: Key, reason: Described) -> None:
        self.found.append((key, reason))

    def check_layer(self, key: Key, table: Mapping[str, Any]) -> None:
        """Check a table whose hosts may run either system: report what is wrong for both."""
        first = system_of(table) or "linux"
        if not faults(table, model_of(first), self.context, missing=False):
            return
        found_by = {system: faults(table, model_of(system), self.context, missing=False) for system in NAMES}
        for location, reason in found_by["windows"]:
            other = next((found for found in found_by["linux"] if overlap(found[0], location)), None)
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
        strange = {location for location, reason in faults(table, model_of(other), self.context, missing=False) if is_unknown_key(reason)}
        for location, reason in faults(table, model_of(system), self.context, missing=False):
            if is_unknown_key(reason) and not any(location[: len(unknown)] == unknown for unknown in strange):
                reason = message(
                    "key-of-other-system",
                    '{key}: applies only to {other} hosts, but this host has system = "{system}"',
                    key=dotted(location),
                    other=NAMES[other],
                    system=system,
                )
            self._report(key, location, reason, table)

    def _report(self, key: Key, location: Key, reason: Described, table: Mapping[str, Any]) -> None:
        found = in_table(key, reason)
        if len(key) == 2 and not is_key_of_any(location[0]) and isinstance(table[str(location[0])], dict):
            found = message(
                "dotted-name-without-quotes",
                '{reason}; a name that contains dots must be quoted: [{table}."{name}.example"]',
                reason=found,
                table=str(key[0]),
                name=str(key[1]),
            )
        self._fault((*key, *location), found)
        key = (*key, *location)
        self._reported.add(key)
        self._above_reported.update(key[:length] for length in range(1, len(key)))

    def _is_reported(self, key: Key) -> bool:
        """Return whether a fault of this key, of a table around it, or of a key in it is reported."""
        return key in self._above_reported or any(key[:length] in self._reported for length in range(1, len(key) + 1))

    def _missing(self, settings: Mapping[str, Any], system: str) -> list[Fault]:
        reported = faults(settings, model_of(system), self.context, missing=False)
        return [fault for fault in faults(settings, model_of(system), self.context, missing=True) if fault not in reported]

    def contradictions(self) -> None:
        """Report a contradiction that several hosts get from one table once, with their names."""
        found: dict[tuple[Key, Message], list[str]] = {}
        for name, (settings, places) in self._broken.items():
            for key, reason in _contradictions(system_of(settings), settings):
                fault = message("setting-invalid", "{key}: {reason}", key=key, reason=reason)
                found.setdefault((places[key], fault), []).append(name)
        for (place, fault), names in found.items():
            self._fault(place, _of_hosts(dotted(place[:-1]), fault, names))


def in_table(key: Key, reason: Described) -> Message:
    return message("setting-in-table", "[{table}] {reason}", table=dotted(key), reason=reason)


def _of_hosts(table: str, reason: Described, names: Sequence[str]) -> Message:
    if len(names) == 1:
        return message("settings-contradict-of-host", "[{table}] {reason} (host {name})", table=table, reason=reason, name=names[0])
    return message("settings-contradict-of-hosts", "[{table}] {reason} (hosts {names})", table=table, reason=reason, names=few(names))


def system_of(settings: Mapping[str, Any]) -> str:
    """Return the system of the host, or an empty string if it is missing or unknown."""
    system = settings.get("system")
    return system if isinstance(system, str) and system in NAMES else ""
