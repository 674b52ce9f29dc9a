"""A play for Ansible for each system: fixed, with the scripts and their hashes next to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nbserver.export.exported import Exported

if TYPE_CHECKING:
    from nbserver.render.script import Script

HOSTS = "hosts.json"
_SYSTEMS = {"ps1": "windows", "sh": "linux"}


def exported(host: Any, script: Script) -> list[Exported]:
    """Return the script of a host. `with_play` adds what the hosts share."""
    return [Exported(f"files/{script.file_name}", script.code, host.name, script.sha256)]


def with_play(scripts: Iterable[Exported]) -> Iterator[Exported]:
    """Yield the scripts, then an inventory with the groups of the plays, and the play of each system."""
    groups: dict[str, dict[str, Any]] = {}
    for script in scripts:
        system = _SYSTEMS[script.name.rpartition(".")[2]]
        # A relative path starts at the folder of the play.
        variables = {"nbserver_script": script.name, "nbserver_sha256": script.script_sha256}
        groups.setdefault(f"nbserver_{system}", {"hosts": {}})["hosts"][script.host] = variables
        yield script
    yield Exported(HOSTS, (json.dumps({"all": {"children": groups}}, indent=2) + "\n").encode("ascii"))
    for group in groups:
        play = f"{group.replace('_', '-')}.yml"
        yield Exported(play, files(__package__).joinpath(play).read_bytes().replace(b"\r\n", b"\n"))
