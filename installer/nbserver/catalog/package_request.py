"""What the inventory asks for: the names that a lock is resolved from, and their constraints."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import ApprovalError, CatalogError
from nbserver.base.message import Described, DescribedError
from nbserver.catalog import requirement_lines
from nbserver.catalog.site_lock import needed
from nbserver.settings.faults import in_file
from nbserver.settings.working_file import WorkingFile

if TYPE_CHECKING:
    from nbserver.catalog.lock_kind import LockKind
    from nbserver.inventory.package_choice import PackageChoice

SETS = {"science": ("ipywidgets", "pandas", "pillow", "scikit-learn", "scipy")}


@dataclass(frozen=True)
class PackageRequest:
    """`packages` and `constraints` are sorted, each in the form of PEP 508 with a normalized name. `own` are the packages of the site."""

    packages: tuple[str, ...]
    constraints: tuple[str, ...]
    own: tuple[str, ...]

    @classmethod
    def of(cls, choice: PackageChoice, kind: LockKind) -> PackageRequest:
        """Return the request of a host. Raises CatalogError with file and line."""
        own = [requirement_lines.normal(text) for text in (*choice.include, *SETS.get(choice.set or "", ()))]
        if choice.requirements:
            own += _read(choice.requirements)
        constraints = _read(choice.constraints) if choice.constraints else []
        packages = {*own, *(name for python in kind.pythons for name in needed(python))}
        return cls(tuple(sorted(packages)), tuple(sorted(set(constraints))), tuple(sorted(set(own))))

    @property
    def sha256(self) -> str:
        lines = [*(f"request: {text}" for text in self.packages), *(f"constraint: {text}" for text in self.constraints)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(path: Path) -> list[str]:
    try:
        content = WorkingFile(path, ApprovalError).read_bytes()
    except OSError as reason:
        raise CatalogError(
            "requirements-unreadable",
            "could not read the file: {reason}",
            todo="Check that the file exists and that you can read it",
            where=str(path),
            reason=reason.strerror or type(reason).__name__,
        ) from None
    found, wrong = list[str](), list[tuple[int, Described]]()
    for number, line in requirement_lines.logical(content.decode("utf-8-sig", "replace")):
        try:
            found.append(_requirement(line))
        except DescribedError as refused:
            wrong.append((number, refused))
    if wrong:
        raise CatalogError(
            "requirements-invalid",
            "the list of packages is not valid: {faults}",
            where=f"{path}:{wrong[0][0]}",
            faults=in_file(str(path), wrong),
        )
    return found


def _requirement(line: str) -> str:
    """Return a line of the file. Raises ValueError with the reason."""
    if "--hash" in line:
        raise DescribedError("requirement-with-hash", "a line with hashes belongs in a lock; set packages.lock to this file instead")
    if line.startswith("-"):
        raise DescribedError("requirement-option", "options are not accepted; list package names only, one per line")
    try:
        return requirement_lines.normal(line)
    except ValueError:
        raise DescribedError("requirement-invalid", "expected a package name such as pandas or scipy==1.17.*, without a URL") from None
