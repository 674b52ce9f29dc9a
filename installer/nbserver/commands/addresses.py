"""Where the notebook servers are after an apply, and the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import counted, phrase
from nbserver.base.standard_streams import say

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.result import Result

MOST = 20  # hosts whose addresses are listed


def show_addresses(hosts: Sequence[AnyHost], results: Mapping[str, Result], patterns: Sequence[str]) -> None:
    """Print the address and the fingerprint of each server that is set up, and the command that verifies them."""
    from nbserver.verify.checks import address_of

    found = [host for host in hosts if results[host.name].outcome == "ok"]
    if not found:
        return
    say()
    width = max(len(host.name) for host in found)
    for host in found[:MOST]:
        say(f"{host.name:<{width}}  {address_of(host).url}  {results[host.name].fingerprint}".rstrip())
    if len(found) > MOST:
        say(counted("and {count} more server", "and {count} more servers", len(found) - MOST))
    say(phrase("Next: nbserver verify {hosts}", hosts=shlex.join(patterns)))
