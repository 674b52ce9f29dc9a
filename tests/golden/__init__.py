"""The rendered files of a fixed inventory, kept in git: a change of what runs on hosts shows as a difference there.

`python -m tests.golden` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

from installer import catalog, inventory, rendering
from installer.render import render
from installer.script import Script

FOLDER = Path(__file__).parent
INVENTORY = FOLDER / "nbserver.toml"


def files() -> dict[str, bytes]:
    """File name -> bytes, as `nbserver render` writes them."""
    return rendering.files(list(inventory.load(INVENTORY).hosts.values()))


def scripts() -> list[Script]:
    """The scripts of the inventory's hosts."""
    return [render(host, catalog.load(host.catalog)) for host in inventory.load(INVENTORY).hosts.values()]


def update() -> list[str]:
    """Writes the files anew, removes those of hosts that are gone, and returns the names of what changed."""
    found = files()
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in (".ps1", ".json")}
    for name in before.keys() - found.keys():
        (FOLDER / name).unlink()
    for name, data in found.items():
        (FOLDER / name).write_bytes(data)
    return sorted(name for name in before.keys() | found.keys() if before.get(name) != found.get(name))
