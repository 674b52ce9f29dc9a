"""Hosts as JSON: a list of tables, one table per line, or what `ansible-inventory --list` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nbserver.base.message import DescribedError, message
from nbserver.inventory.host_list import HostList
from nbserver.settings.faults import kind

OF_ANSIBLE = ("all", "ungrouped")  # groups that each inventory of Ansible has
WINDOWS = ("winrm", "psrp")
WINDOWS_SHELLS = ("cmd", "powershell")  # of hosts that Ansible reaches over SSH


def add_to(found: HostList, text: str) -> None:
    """Add the hosts of a JSON text."""
    try:
        value = _parse(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            found.fault(
                error.lineno, message("hosts-not-json", "this is not valid JSON: syntax error at column {column}", column=error.colno)
            )
            return
        _add_lines(found, text)
        return
    except DescribedError as error:
        found.fault(0, error)
        return
    if isinstance(value, dict) and "name" not in value:
        _add_of_ansible(found, value)
        return
    for table in value if isinstance(value, list) else [value]:
        _add(found, 0, table)


def _add_lines(found: HostList, text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            _add(found, number, _parse(line))
        except json.JSONDecodeError as error:
            found.fault(number, message("hosts-not-json", "this is not valid JSON: syntax error at column {column}", column=error.colno))
        except DescribedError as error:
            found.fault(number, error)


def _parse(text: str) -> Any:
    """Return the value. Raises DescribedError, and JSONDecodeError."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise DescribedError("hosts-json-too-deep", "the JSON is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if isinstance(error, DescribedError):
            raise
        raise DescribedError("hosts-json-number", "a number in the JSON has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {key: value for key, value in pairs if value is not None}
    if len(dict(pairs)) < len(pairs):
        raise DescribedError("hosts-json-key-twice", "an object in the JSON has the same key twice")
    if not all(key.isprintable() for key in found):  # pydantic has no place for a key that is not Unicode
        raise DescribedError("hosts-json-key-invalid", "a key in the JSON contains a character that is not allowed in a key")
    return found


def _add(found: HostList, line: int, table: Any) -> None:
    """Add a host whose settings are in a table, with its `name` and its `groups`."""
    if not isinstance(table, dict):
        found.fault(line, message("host-not-object", "expected an object for each host, found {kind}", kind=kind(table)))
        return
    table = dict(table)
    name, groups = table.pop("name", None), table.pop("groups", [])
    if not isinstance(name, str):
        found.fault(line, message("host-without-name", "each host must have a name, and the name must be text"))
        return
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        found.fault(line, message("host-groups-not-array", "groups: expected an array of names"))
        return
    if found.add(name, line, table):
        for group in groups:
            found.join(group, name, line)


def _add_of_ansible(found: HostList, value: Mapping[str, Any]) -> None:
    """Add hosts and groups as Ansible lists them: `_meta.hostvars` has the variables of hosts, each other key is a group."""
    meta = value.get("_meta", {})
    variables = meta.get("hostvars", {}) if isinstance(meta, dict) else None
    groups = {name: group for name, group in value.items() if name != "_meta"}
    if not isinstance(variables, dict) or not all(isinstance(of_host, dict) for of_host in variables.values()):
        found.fault(0, message("ansible-hostvars-invalid", "_meta.hostvars: expected one object per host"))
        return
    for group in groups.values():
        if not isinstance(group, dict) or not all(map(_is_names, (group.get("hosts", []), group.get("children", [])))):
            found.fault(
                0,
                message(
                    "ansible-group-invalid",
                    "expected the output of ansible-inventory --list: one object per group, with hosts and children",
                ),
            )
            return
    hosts = dict.fromkeys(host for group in groups.values() for host in group.get("hosts", []))
    added = {name for name in hosts | variables if found.add(name, 0, _settings(name, variables.get(name, {})))}
    for name in groups:
        if name not in OF_ANSIBLE:
            for host in dict.fromkeys(_members(name, groups)):
                if host in added:
                    found.join(name, host, 0)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _members(name: str, groups: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the hosts of a group and of the groups in it."""
    seen, waiting = {name}, [name]
    while waiting:
        group = groups.get(waiting.pop(), {})
        yield from group.get("hosts", [])
        children = [child for child in group.get("children", []) if child not in seen]
        seen.update(children)
        waiting += children


def _settings(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a host from its variables. Others than these are ignored: they can be passwords of Ansible."""
    of_nbserver = variables.get("nbserver", {})
    found = {"address": variables.get("ansible_host", name)}
    for key, variable in (("port", "ansible_port"), ("user", "ansible_user")):
        if variable in variables:
            found[key] = variables[variable]
    if isinstance(found.get("port"), str) and re.fullmatch("[0-9]{1,9}", found["port"]):
        found["port"] = int(found["port"])
    if variables.get("ansible_connection") in WINDOWS:
        found["system"] = "windows"
    elif variables.get("ansible_shell_type") in WINDOWS_SHELLS:
        found |= {"system": "windows", "transport": "ssh"}
    return {**found, **of_nbserver} if isinstance(of_nbserver, dict) else {**found, "nbserver": of_nbserver}
