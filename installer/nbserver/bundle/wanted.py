"""What the scripts of hosts download: the files of programs, and the packages of their locks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbserver.approval import manifest
from nbserver.bundle.contents import File
from nbserver.catalog import lock_conditions, lock_lines
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.mirror import file_of
from nbserver.catalog.resolver import wheels
from nbserver.catalog.resolver.uv import Wheels

if TYPE_CHECKING:
    from nbserver.render.script import Script

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CONDITION = re.compile(r" ; (.+?)(?= --hash)")
_LITERAL = re.compile(r"^    '(\S+==[^']+ --hash=sha256:[^']+)',?$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Pin:
    """A package in one version, and the hashes of the wheels that a host accepts."""

    name: str
    version: str
    sha256: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Packages:
    """The packages of hosts of one kind, whose Python is known. `host` is the name of the first of these hosts."""

    kind: LockKind
    pins: tuple[Pin, ...]
    host: str

    def lacking(self, files: Iterable[File]) -> tuple[Pin, ...]:
        """Return the packages for which none of these files can be installed on such a host."""
        there = {one.sha256: one for one in files if one.kind == "wheel"}
        return tuple(pin for pin in self.pins if not any(self._fits(there[digest]) for digest in pin.sha256 & there.keys()))

    def _fits(self, file: File) -> bool:
        try:
            return bool(wheels.fitting(Wheels(file.name, file.version, ((file.file, file.sha256),)), self.kind))
        except ValueError:  # not the name of a wheel
            return False


def programs(script: Script) -> list[File]:
    """Return the files of programs that a script downloads. Raises ValueError for a URL whose file a bundle cannot hold."""
    return [
        File("program", one["name"], one["version"], file_of(one["url"]), one["sha256"], one["size"], one["url"])
        for one in manifest.downloads(script.settings)
    ]


def packages(script: Script) -> list[Packages]:
    """Return the packages that a script installs, for each Python that its host may have."""
    kind = _kind(script.settings)
    if script.settings["packages"].get("source") == "distribution":
        return []
    lines = _LITERAL.findall("".join(script.parts[:-1]))
    return [Packages(kind.for_python(python), tuple(_pins(lines, kind, python)), script.host) for python in kind.pythons]


def _kind(settings: Mapping[str, Any]) -> LockKind:
    return LockKind.of(settings.get("system", "windows"), settings["architecture"], settings["python"]["version"])


def _pins(lines: Iterable[str], kind: LockKind, python: str) -> Iterator[Pin]:
    """Yield the packages whose condition applies to some release of this Python."""
    from packaging.markers import Marker

    among = lock_conditions.environments(kind.system, kind.architecture, [python])
    for line in lines:
        name, version = lock_lines.pin_of(line) or ("", "")
        condition = _CONDITION.search(line)
        if name and any(lock_conditions.where(Marker(condition[1]) if condition else None, among)):
            yield Pin(name, version, frozenset(_HASH.findall(line)))
