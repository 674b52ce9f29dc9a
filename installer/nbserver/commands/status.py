"""`nbserver status` for hosts and for this machine, and `nbserver stop`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nbserver.base.standard_streams import say
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


def status(host: AnyLocal, *, as_json: bool) -> int:
    """Print the status. Return 0 if the server is running and shows its certificate, else 4."""
    found = server.look(host)
    if as_json:
        say(json.dumps({"event": "status", **asdict(found)}))
    else:
        say(f"{found.host}  {click.style(found.words, fg='green' if found.ok else 'red')}")
        for name, value in (
            ("address", found.url),
            ("certificate", found.fingerprint),
            ("since", found.since),
            ("run by", found.by),
            ("limits", limits.said(found.limits)),
            ("previous", previous.said(found.previous)),
        ):
            if value and found.by != "none":
                say(f"    {name:<12} {value}")
    return 0 if found.ok else 4


def stop(host: AnyLocal, *, as_json: bool = False) -> int:
    """Stop the server if it is running. Raises HostError and UsageError."""
    was_running = server.service_of(host).stop()
    if as_json:
        say(json.dumps({"event": "stopped", "host": host.name, "was_running": was_running}))
    else:
        words = "stopped; start it again with nbserver apply local" if was_running else "the notebook server is not running"
        say(f"{host.name}  {words}")
    return 0
