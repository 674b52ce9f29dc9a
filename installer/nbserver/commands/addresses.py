"""Where the notebook servers are after an apply, and the command to run next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import counted, phrase
from nbserver.base.standard_streams import say

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.result import Result

MOST = 20  # hosts whose addresses are listed


def show_addresses(
    hosts: Sequence[AnyHost], results: Mapping[str, Result], patterns: Sequence[str], *, windows: bool = os.name == "nt"
) -> None:
    """Print the address and the fingerprint of each server that is set up, and the command that verifies them.

    The command has the given patterns, or, if some hosts failed, the names of the others. `windows` says how to quote a pattern.
    """
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
    wanted = patterns if len(found) == len(hosts) or len(found) > MOST else [host.name for host in found]
    say(phrase("Next: nbserver verify {hosts}", hosts=" ".join(_quoted(one, windows) for one in wanted)))


def _quoted(pattern: str, windows: bool) -> str:
    """Return a pattern as both shells of the system read it. It has no quotation mark: an inventory's names have none."""
    quoted = shlex.quote(pattern)
    return f'"{pattern}"' if windows and quoted != pattern else quoted
