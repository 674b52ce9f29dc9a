"""`nbserver restart` and `nbserver stop`: what happens to installed servers, without an apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbserver.run import operation
from nbserver.run.result import exit_code

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.envelope import Mode
    from nbserver.run.options import Options
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask


def run(mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View) -> int:
    """Run the scripts in a mode that needs no secret of the server. Return the exit code.

    Raises NbserverError before any host is contacted.
    """
    return exit_code(operation.operate(mode, inventory, hosts, options, ask, view))
