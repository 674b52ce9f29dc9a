"""What the scripts of hosts download: the files of programs, and the packages of their locks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbserver.approval import manifest
from nbserver.bundle.contents import File
from nbserver.catalog import lock_conditions, lock_lines
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.mirror import file_of_program
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
    """The packages of hosts of one kind, whose Python is known. `host` is the name of the first of these hosts.

    `release` is the release of Python for which the conditions of the lock were evaluated, such as 3.13.9.
    """

    kind: LockKind
    release: str
    pins: tuple[Pin, ...]
    host: str

    def lacking(self, files: Iterable[File]) -> tuple[Pin, ...]:
        """Return the packages for which none of these files can be installed on such a host."""
        there = {one.sha256: one for one in files if one.kind == "wheel"}
        return tuple(pin for pin in self.pins if not any(self._fits(there[digest]) for digest in pin.sha256 & there.keys()))

    def chosen(self, files: Iterable[File]) -> tuple[File, ...]:
        """Return those of these files that can be installed on such a host."""
        hashes = frozenset[str]().union(*(pin.sha256 for pin in self.pins))
        return tuple(one for one in files if one.kind == "wheel" and one.sha256 in hashes and self._fits(one))

    def _fits(self, file: File) -> bool:
        try:
            return bool(wheels.fitting(Wheels(file.name, file.version, ((file.file, file.sha256),)), self.kind))
        except ValueError:  # not the name of a wheel
            return False


Program = tuple[File, ...]
"""The sources of a program in the order in which hosts try them: one of these files is sufficient."""


def programs(script: Script) -> list[Program]:
    """Return the programs that a script downloads. Raises CatalogError for a URL whose file a bundle cannot hold."""
    found: dict[str, list[File]] = {}
    for one in manifest.downloads(script.settings):
        file = File("program", one["name"], one["version"], file_of_program(one["url"]), one["sha256"], one["size"], one["url"])
        found.setdefault(one["name"], []).append(file)
    return [tuple(sources) for sources in found.values()]


def packages(script: Script) -> list[Packages]:
    """Return the packages that a script installs, for each Python that its host may have.

    Of a branch such as 3.13, these are its first and last release, or only the last one if that makes no difference.
    """
    settings = script.settings
    if settings["packages"].get("source") == "distribution":
        return []
    version = settings["python"]["version"] or ""
    kind = LockKind.of(settings.get("system", "windows"), settings["architecture"], version)
    lines = _LITERAL.findall("".join(script.parts[:-1]))
    found: dict[tuple[str, tuple[Pin, ...]], Packages] = {}
    for among in lock_conditions.environments(kind.system, kind.architecture, [version] if kind.python else kind.pythons):
        python, pins = among["python_version"], tuple(_pins(lines, among))
        found[python, pins] = Packages(kind.for_python(python), among["python_full_version"], pins, script.host)
    return list(found.values())


class LockedPackages:
    """Finds the packages of scripts, for hosts that have the same lock only once: each line has a condition to evaluate."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], list[Packages]] = {}

    def of(self, script: Script) -> list[Packages]:
        """Return what `packages` returns for the first such host."""
        settings = script.settings
        own = settings["packages"]
        key = (settings.get("system"), settings["architecture"], settings["python"]["version"], own.get("source"), own["lock_sha256"])
        if key not in self._found:
            self._found[key] = packages(script)
        return self._found[key]


def _pins(lines: Iterable[str], among: dict[str, str]) -> Iterator[Pin]:
    """Yield the packages whose condition applies."""
    from packaging.markers import Marker

    for line in lines:
        name, version = lock_lines.pin_of(line) or ("", "")
        condition = _CONDITION.search(line)
        if name and lock_conditions.where(Marker(condition[1]) if condition else None, [among])[0]:
            yield Pin(name, version, frozenset(_HASH.findall(line)))
