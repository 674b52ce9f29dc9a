"""Read the hosts of `hosts_from`, a file next to the inventory."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.inventory import csv_hosts, json_hosts
from nbserver.inventory.host_list import HostList
from nbserver.settings import toml_text
from nbserver.settings.working_file import WorkingFile


def read(path: Path) -> HostList:
    """Read a file with hosts: CSV, or JSON like that of `ansible-inventory --list` or `nbserver hosts --json`.

    The file must be one of the operator, like the inventory. Its faults are in the list. Raises InventoryError if it cannot be read.
    """
    try:
        content = WorkingFile(path, InventoryError).read_bytes()
    except FileNotFoundError:
        raise InventoryError(
            "hosts-file-missing", "hosts_from: the file does not exist", todo="Correct hosts_from in the inventory", where=str(path)
        ) from None
    except OSError as reason:
        raise InventoryError(
            "hosts-file-unreadable",
            "hosts_from: could not read the file: {reason}",
            todo="Check that the file exists and that you can read it",
            where=str(path),
            reason=reason.strerror,
        ) from None
    return parse(content, str(path))


def parse(content: bytes, name: str) -> HostList:
    """Return the hosts of a file or of the output of a program, with its faults. `name` is for messages. Raises InventoryError."""
    text = toml_text.decode(content, InventoryError, name=name)
    found = HostList(name, sha256(content).hexdigest())
    if text.lstrip()[:1] in ("{", "["):
        json_hosts.add_to(found, text)
    else:
        csv_hosts.add_to(found, text)
    return found
