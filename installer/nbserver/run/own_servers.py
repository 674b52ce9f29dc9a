"""From which inventory the server of this machine was set up: a user has one server per scope, and the last inventory counts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbserver.base.errors import NbserverError
from nbserver.base.message import message, notice
from nbserver.base.standard_streams import warn
from nbserver.inventory import own_server
from nbserver.inventory.names import LOCAL
from nbserver.run import own_trust

if TYPE_CHECKING:
    from pathlib import Path

    from nbserver.base.modes import Mode
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.result import Result


def before(mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost]) -> None:
    """Warn if the server of this machine was set up from another inventory."""
    if mode not in ("test", "apply") or not _has_local(hosts):
        return
    known = own_server.inventory_of(inventory.local.scope)
    if known and known != _named(inventory) and os.path.exists(known):  # noqa: PTH110 (Path.exists raises PermissionError)
        warn(
            notice(
                "other-inventory-of-server",
                "local: your notebook server was set up from {before}, but this run uses {after}",
                todo="To keep using the inventory {before}, specify it with -i",
                before=known,
                after=_named(inventory) or message("default-settings", "the default settings"),
            )
        )


def after(mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost], results: Mapping[str, Result]) -> None:
    """Record from which inventory the server of this machine was set up; after undo, from none."""
    if not _has_local(hosts) or results[LOCAL].outcome != "ok":
        return
    with _recorded():
        if mode in ("apply", "undo"):
            own_server.remember(inventory.local.scope, _named(inventory) if mode == "apply" else None)
        if mode == "undo":
            own_server.remember_unverified(inventory.local.scope, unverified=False)
        if inventory.local.scope == "user":
            own_trust.remove() if mode == "undo" else own_trust.renew(results[LOCAL].fingerprint)


def remember_unverified(scope: str, *, unverified: bool) -> None:
    """Record whether `up` has yet to verify the server of the scope with the password that it generated. A failure is a warning."""
    with _recorded():
        own_server.remember_unverified(scope, unverified=unverified)


@contextmanager
def _recorded() -> Iterator[None]:
    try:
        yield
    except NbserverError as error:
        warn(message("own-server-not-recorded", "{reason}", reason=error))


def _has_local(hosts: Sequence[AnyHost]) -> bool:
    return any(host.transport == "local" for host in hosts)


def _named(inventory: Inventory) -> Path | None:
    """Return the path of the inventory, or None if there is none, or if it was read from standard input."""
    return inventory.path if inventory.sha256 and inventory.path.is_file() else None
