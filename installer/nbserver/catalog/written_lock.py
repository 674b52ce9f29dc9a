"""The locks that `nbserver lock` writes: their text, and whether such a file is still what the inventory asks for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from nbserver.base.errors import CatalogError
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.package_request import PackageRequest
from nbserver.catalog.site_lock import SiteLock

_FIRST = re.compile(r"# Packages for .+\. Written by nbserver lock on [0-9-]{10}: change the inventory, and run it again\.")


def text(kind: LockKind, request: PackageRequest, lines: Iterable[str], date: str) -> str:
    """Return the text of a lock. Its head has the request, so that another request is noticed."""
    head = [f"# Packages for {kind}. Written by nbserver lock on {date}: change the inventory, and run it again."]
    head += [f"# request: {one}" for one in request.packages]
    head += [f"# constraint: {one}" for one in request.constraints]
    body = list(lines)
    return "\n".join([*head, f"# request sha256: {request.sha256}", f"# lines sha256: {_digest(body)}", *body, ""])


def is_written(lock_text: str) -> bool:
    """Return whether `nbserver lock` wrote this text, or a previous form of it."""
    return bool(_FIRST.fullmatch(lock_text.partition("\n")[0].rstrip("\r")))


def is_edited(lock_text: str) -> bool:
    """Return whether the lines are others than those that were written."""
    return _value(lock_text, "lines") != _digest(lines_of(lock_text))


def lines_of(lock_text: str) -> list[str]:
    return [line for line in lock_text.splitlines() if line and not line.startswith("#")]


def fits(lock_text: str, request: PackageRequest) -> bool:
    """Return whether the lock was written for this request."""
    return _value(lock_text, "request") == request.sha256


def require_fit(lock: SiteLock, request: PackageRequest, host: str) -> None:
    """Raise CatalogError unless the lock is as `nbserver lock` wrote it, for this request."""
    if not is_written(lock.text):
        raise CatalogError(
            "lock-not-written",
            "nbserver lock did not write this file",
            where=lock.name,
            todo="To use the file as it is, set packages.lock to its path. Otherwise, set packages.lock_folder to another folder, then run nbserver lock {name}",
            name=host,
        )
    if is_edited(lock.text):
        raise CatalogError(
            "lock-edited",
            "the file was edited after nbserver lock wrote it",
            where=lock.name,
            todo="To generate the lock again, run nbserver lock {name}. To use the file as it is, set packages.lock to its path",
            name=host,
        )
    if not fits(lock.text, request):
        raise CatalogError(
            "lock-outdated",
            "the lock does not match the packages in the inventory",
            where=lock.name,
            todo="Run: nbserver lock {name}",
            name=host,
        )


def _value(lock_text: str, name: str) -> str:
    match = re.search(rf"^# {name} sha256: ([0-9a-f]{{64}})\r?$", lock_text, re.MULTILINE)
    return match[1] if match else ""


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "replace")).hexdigest()
