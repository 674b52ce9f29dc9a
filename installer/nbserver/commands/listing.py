"""`nbserver hosts`: the hosts of an inventory, for a person or as a list of hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nbserver.base import folding
from nbserver.base.message import phrase
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import text_for_reader

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory

HEAD_WORDS = ("NAME", "SYSTEM", "ADDRESS", "GROUPS")


def table(inventory: Inventory, hosts: Sequence[AnyHost]) -> Iterator[str]:
    """Yield the lines of a table with the name, the system, the address, and the groups of each host."""
    groups = _groups(inventory)
    rows = [
        tuple(map(text_for_reader, map(phrase, HEAD_WORDS))),
        *((host.name, host.system, host.address, " ".join(groups.get(host.name, ()))) for host in hosts),
    ]
    widths = [max(folding.width(row[column]) for row in rows) for column in range(len(HEAD_WORDS) - 1)]
    for row in rows:
        yield clean("  ".join([*(folding.padded(cell, width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip(), 4000)


def as_json(inventory: Inventory, hosts: Sequence[AnyHost]) -> Iterator[str]:
    """Yield a line of JSON for each host, in the form that `hosts_from` reads: its name, its groups, and its table without defaults and groups.

    They contain no secrets, only references to them.
    """
    groups = _groups(inventory)
    for host in hosts:
        own = {"system": host.system, "address": host.address, **inventory.tables.get(host.name, {})}
        yield json.dumps({"name": host.name, "groups": groups.get(host.name, []), **own})


def _groups(inventory: Inventory) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group, names in inventory.groups.items():
        for name in names:
            found.setdefault(name, []).append(group)
    return found
