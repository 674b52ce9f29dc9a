"""The packages of a lock, with the license and the summary that their wheels state."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

FILE = "packages.json"  # written by tools/make_package_facts.py
_LINE = re.compile(r"(?P<name>[^=]+)==(?P<version>\S+)(?: ; (?P<condition>.+?))?(?= --hash)")


@dataclass(frozen=True)
class Package:
    """A line of a lock. `condition` is "" if it applies always; license, its field, and summary are "" if this release has none."""

    name: str
    version: str
    condition: str
    hashes: tuple[str, ...]
    license: str
    license_field: str
    summary: str


def packages(lines: Iterable[str]) -> tuple[Package, ...]:
    """Return the packages of the lines of a lock, in their order."""
    known = facts()
    found = []
    for line in lines:
        match = _LINE.match(line)
        assert match, line  # the catalog has checked it
        stated = known.get(f"{match['name']}=={match['version']}", {})
        found.append(
            Package(
                match["name"],
                match["version"],
                match["condition"] or "",
                tuple(re.findall(r"sha256:([0-9a-f]{64})", line)),
                stated.get("license", ""),
                stated.get("license_field", ""),
                stated.get("summary", ""),
            )
        )
    return tuple(found)


def is_package(line: str) -> bool:
    """Return whether `packages` can read a line: in a script that no catalog of this release has, it may be anything."""
    return _LINE.match(line) is not None


def facts() -> dict[str, dict[str, str]]:
    """Return license, license_field, and summary by NAME==VERSION, for every line of the shipped locks."""
    data = importlib.resources.files("nbserver").joinpath("catalog", "data", FILE).read_bytes()
    found: dict[str, dict[str, str]] = json.loads(data)
    return found
