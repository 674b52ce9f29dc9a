"""An inventory on standard input: `-i -`."""

from __future__ import annotations

import sys

from nbserver.base.errors import InventoryError
from nbserver.settings.working_file import LIMIT

NAME = "standard input"


def read() -> bytes:
    """Return all of standard input. Raises InventoryError if there is nothing, or too much.

    Then no question can be asked: without a terminal, there are no prompts, and the input is at its end.
    """
    content = b""
    if sys.stdin is not None:
        try:
            content = sys.stdin.buffer.read(LIMIT + 1)
        except OSError as reason:
            raise InventoryError(
                "input-unreadable",
                "could not read the inventory: {reason}",
                todo="Pipe an inventory into nbserver, or specify a file with -i",
                where=NAME,
                reason=reason.strerror,
            ) from None
    if len(content) > LIMIT:
        raise InventoryError(
            "input-too-large",
            "the inventory is larger than {limit} bytes",
            where=NAME,
            todo="Check the command whose output is piped into nbserver",
            limit=LIMIT,
        )
    if not content.strip():
        raise InventoryError(
            "input-empty", "the inventory is empty", where=NAME, todo="Pipe an inventory into nbserver, or specify a file with -i"
        )
    return content
