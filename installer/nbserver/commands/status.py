"""`nbserver status` and `nbserver stop`: the notebook server of this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nbserver.local import server

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyLocal


def status(host: AnyLocal, *, as_json: bool) -> int:
    """Tells it; 0 when the server runs and shows its certificate, else 4."""
    found = server.look(host)
    if as_json:
        click.echo(json.dumps({"event": "status", **asdict(found)}))
    else:
        click.echo(f"{found.host}  {click.style(found.words, fg='green' if found.ok else 'red')}")
        for name, value in (("address", found.url), ("certificate", found.fingerprint), ("since", found.since), ("run by", found.by)):
            if value and found.by != "none":
                click.echo(f"    {name:<12} {value}")
    return 0 if found.ok else 4


def stop(host: AnyLocal) -> int:
    """Ends the server, where it runs. Raises HostError, UsageError."""
    words = "stopped; nbserver apply local starts it again" if server.service_of(host).stop() else "no notebook server runs here"
    click.echo(f"{host.name}  {words}")
    return 0
