"""Which wheels a host can install, and the lines of a lock with their hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from nbserver.catalog.lock_conditions import LINUX_PYTHONS
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.resolver.uv import Wheels

if TYPE_CHECKING:
    from packaging.tags import Tag

_NEWEST_GLIBC = 28  # 2.28, of Debian 10 and RHEL 8: uv resolves for it too
_WINDOWS = {("windows", "x64"): "win_amd64", ("windows", "arm64"): "win_arm64"}
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def lines(found: Mapping[str, Sequence[Wheels]], kind: LockKind) -> list[str]:
    """Return the sorted lines of a lock. `found` has the packages for each Python of the kind."""
    hashes: dict[tuple[str, str], set[str]] = {}
    pythons: dict[tuple[str, str], list[str]] = {}
    for python, packages in found.items():
        for package in packages:
            key = package.name, package.version
            pythons.setdefault(key, []).append(python)
            hashes.setdefault(key, set()).update(fitting(package, kind.for_python(python)))
    return sorted(
        f"{name}=={version}{_condition(pythons[name, version], list(found))}" + "".join(f" --hash=sha256:{one}" for one in sorted(digests))
        for (name, version), digests in hashes.items()
    )


def fitting(package: Wheels, kind: LockKind) -> list[str]:
    """Return the hashes of the wheels that a host of this kind can install."""
    from packaging.utils import parse_wheel_filename

    tags = _tags(kind)
    return [digest for name, digest in package.wheels if not tags.isdisjoint(parse_wheel_filename(name)[3])]


@cache
def _tags(kind: LockKind) -> frozenset[Tag]:
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = (int(part) for part in kind.python.split("."))
    interpreter = f"cp{major}{minor}"
    platforms = _platforms(kind)
    own = cpython_tags((major, minor), [interpreter], platforms)
    return frozenset([*own, *compatible_tags((major, minor), interpreter, platforms)])


def _platforms(kind: LockKind) -> list[str]:
    if (kind.system, kind.architecture) in _WINDOWS:
        return [_WINDOWS[kind.system, kind.architecture]]
    machine = {"x64": "x86_64", "arm64": "aarch64"}[kind.architecture]
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1)]
    return [*names, *(f"{name}_{machine}" for name in _OLD_NAMES.values()), f"linux_{machine}"]


def _condition(pythons: Sequence[str], all_pythons: Sequence[str]) -> str:
    """Return where a line applies if it does not apply to all versions of Python."""
    if len(pythons) == len(all_pythons):
        return ""
    places = [all_pythons.index(python) for python in pythons]
    if places != list(range(places[0], places[-1] + 1)):
        return " ; " + " or ".join(f'python_version == "{python}"' for python in pythons)
    if len(pythons) == 1 and places[0] > 0 and pythons[-1] != LINUX_PYTHONS[-1]:
        return f' ; python_version == "{pythons[0]}"'
    parts = [f'python_version >= "{pythons[0]}"'] if places[0] > 0 else []
    parts += [f'python_version <= "{pythons[-1]}"'] if pythons[-1] != LINUX_PYTHONS[-1] else []
    return " ; " + " and ".join(parts)
