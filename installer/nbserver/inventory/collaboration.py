"""Notebooks that several people edit at the same time: notebook.collaboration."""

from __future__ import annotations

import re
from collections.abc import Iterable

PACKAGE = "jupyter-collaboration"
TITLE = "Whether several people can edit a notebook at the same time, and see each other's changes"
DESCRIPTION = "true or false; true requires the package jupyter-collaboration, which nbserver lock adds"
_NAMED = re.compile(r"jupyter[-_.]collaboration(?![A-Za-z0-9._-])", re.IGNORECASE)


def with_package(names: Iterable[str]) -> tuple[str, ...]:
    """Return the packages of an inventory, and the one for collaboration unless they have it, in any version."""
    given = tuple(names)
    return given if any(_NAMED.match(name) for name in given) else (*given, PACKAGE)
