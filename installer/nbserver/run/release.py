"""Which nbserver runs: the hash of its installed files, and of the wheel if pip installed it from a file."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from nbserver.render.step_files import SUFFIX, step_folder


@functools.cache
def fingerprint() -> dict[str, str | None]:
    """Return `files_sha256`, the hash of what sha256sum prints about all files of the package, and `wheel_sha256`, if known.

    The package is the folder nbserver of the wheel. docs/evidence.md has the command that computes the hash from the wheel.
    """
    package = Path(__file__).parents[1]
    found = dict(_files(package, "nbserver"))
    for kind in SUFFIX:
        found.update(_files(step_folder(kind), f"nbserver/{kind}"))
    lines = [f"{hashlib.sha256(found[name].read_bytes()).hexdigest()}  {name}\n" for name in sorted(found)]
    return {"files_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(), "wheel_sha256": _wheel()}


def _files(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{name}/{entry.name}")
        elif entry.is_file() and not entry.name.startswith("."):
            yield f"{name}/{entry.name}", entry


def _wheel() -> str | None:
    """Return the hash that pip recorded (direct_url.json, PEP 610). From an index, pip records none."""
    with suppress(metadata.PackageNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        recorded: Any = json.loads(metadata.distribution("nbserver").read_text("direct_url.json") or "null")
        return str(recorded["archive_info"]["hashes"]["sha256"])
    return None
