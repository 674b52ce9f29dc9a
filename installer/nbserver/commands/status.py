"""`nbserver status` for hosts and for this machine, and `nbserver stop`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say, text_for_reader
from nbserver.language.language import ENGLISH, Language
from nbserver.local import server
from nbserver.view import limits, previous

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, AnyLocal, Inventory
    from nbserver.run.options import Options
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask


def of_hosts(inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View) -> int:
    """Show the status of hosts. Return the exit code: 3 if a server does not run, before 4 for what differs.

    Raises NbserverError before any host is contacted.
    """
    from nbserver.run import operation
    from nbserver.run.result import exit_code

    results = operation.operate("status", inventory, hosts, options, ask, view)
    code = exit_code(results)
    all_run = all(result.status is not None and result.status.is_running for result in results.values())
    return code if code not in (0, 4) or all_run else 3


def status(host: AnyLocal, *, as_json: bool, quiet: bool = False, language: Language = ENGLISH) -> int:
    """Print the status; if `quiet`, only that of a server that is not as it should be. Return 0 if the server is running and shows its certificate, else 4."""
    found = server.look(host)
    if as_json:
        say(json.dumps({"event": "status", **asdict(found)}))
    elif not (quiet and found.ok):
        say(f"{found.host}  {click.style(text_for_reader(found.words), fg='green' if found.ok else 'red')}")
        rows = (
            (language.text("address"), found.url),
            (language.text("certificate"), found.fingerprint),
            (language.text("since"), found.since),
            (language.text("run by"), found.by),
            (language.text("limits"), limits.said(found.limits, language)),
            (language.text("previous"), previous.said(found.previous, language)),
        )
        width = max(12, *(folding.width(name) for name, _ in rows))
        for name, value in rows:
            if value and found.by != "none":
                say(f"    {folding.padded(name, width)} {value}")
    return 0 if found.ok else 4


def stop(host: AnyLocal, *, as_json: bool = False, quiet: bool = False) -> int:
    """Stop the server if it is running, and say so unless `quiet`. Raises HostError and UsageError."""
    was_running = server.service_of(host).stop()
    if as_json:
        say(json.dumps({"event": "stopped", "host": host.name, "was_running": was_running}))
    elif not quiet:
        stopped = phrase("stopped; start it again with nbserver apply local")
        say(phrase("{name}  {words}", name=host.name, words=stopped if was_running else phrase("the notebook server is not running")))
    return 0
