"""The rendered files of a fixed inventory, kept in git: a change of what runs on hosts shows as a difference there.

`python -m tests.golden` writes them anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nbserver import __version__
from nbserver.commands import render
from nbserver.export.launcher import launcher_sha256
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.render.script import Script
from nbserver.render.step_files import read_body
from nbserver.transports.ssh.bootstrap import bootstrap

FOLDER = Path(__file__).parent
INVENTORY = FOLDER / "nbserver.toml"
PUBLISHED = FOLDER.parents[1] / "docs" / "body-hashes.md"


def files() -> dict[str, bytes]:
    """File name -> bytes, as `nbserver render` writes them."""
    return render.files(list(reader.load(INVENTORY).hosts.values()))


def scripts() -> list[Script]:
    """The scripts of the inventory's hosts."""
    return [script for script, _ in render_all(list(reader.load(INVENTORY).hosts.values()))]


def published() -> list[str]:
    """The lines of docs/body-hashes.md for this release."""
    bodies = {
        "Windows": ("ps_scripts", "machine"),
        "Windows, user scope": ("ps_scripts", "user"),
        "Linux": ("linux_scripts", "machine"),
        "Linux, user scope": ("linux_scripts", "user"),
    }
    hashes = {system: read_body(kind, scope).sha256 for system, (kind, scope) in bodies.items()}
    hashes["Linux bootstrap"] = hashlib.sha256(bootstrap().encode("ascii")).hexdigest()
    hashes["Windows launcher"] = launcher_sha256("ps1")
    hashes["Linux launcher"] = launcher_sha256("sh")
    return [f"| {__version__} | {system} | `{digest}` |" for system, digest in hashes.items()]


def publish() -> bool:
    """Puts this release's lines into docs/body-hashes.md; True where that changed it."""
    before = PUBLISHED.read_text(encoding="utf-8")
    lines = [line for line in before.splitlines() if not line.startswith(f"| {__version__} |")]
    after = "\n".join([*lines, *published()]) + "\n"
    PUBLISHED.write_text(after, encoding="utf-8", newline="\n")
    return after != before


def update() -> list[str]:
    """Writes the files anew, removes those of hosts that are gone, and returns the names of what changed."""
    found = files()
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in (".ps1", ".sh", ".json")}
    for name in before.keys() - found.keys():
        (FOLDER / name).unlink()
    for name, data in found.items():
        (FOLDER / name).write_bytes(data)
    return sorted(name for name in before.keys() | found.keys() if before.get(name) != found.get(name))
