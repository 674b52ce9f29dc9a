"""The shipped locks of packages.set, one for each kind of host."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import TYPE_CHECKING

from nbserver.catalog.package_request import SETS
from nbserver.catalog.site_lock import SiteLock

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from nbserver.catalog.lock_kind import LockKind
    from nbserver.inventory.package_choice import PackageChoice


def lock_of(choice: PackageChoice, kind: LockKind) -> SiteLock | None:
    """Return the shipped lock if the inventory asks for a set and nothing else; None if there is none for this kind.

    A Linux host with python.version gets the lock for all versions of Python.
    """
    if not choice.set or choice.include or choice.requirements or choice.constraints:
        return None
    every = kind.for_python("") if kind.system_has_any_python else kind
    return _load(f"{choice.set}/{every.file_name}")


def load_all() -> dict[str, SiteLock]:
    """Return all shipped locks of sets, by their name in the folder of the shipped locks. Raises CatalogError."""
    names = sorted(f"{name}/{file.name}" for name in SETS for file in _folder().joinpath(name).iterdir() if file.name.endswith(".txt"))
    return {name: lock for name in names if (lock := _load(name))}


@cache
def _load(name: str) -> SiteLock | None:
    file = _folder().joinpath(*name.split("/"))
    return SiteLock.of(file.read_bytes(), name) if file.is_file() else None


def _folder() -> Traversable:
    return importlib.resources.files("nbserver").joinpath("catalog", "data", "locks")
