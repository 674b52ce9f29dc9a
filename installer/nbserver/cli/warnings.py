"""Warnings about the settings of hosts, on standard error. They change neither a run nor its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost


def show_warnings(hosts: Sequence[AnyHost]) -> None:
    """Print what is valid, but probably not meant."""
    from nbserver.inventory.browser_ports import blocked_port

    for host in hosts:
        warning = blocked_port(host)
        if warning:
            click.echo(f"nbserver: warning: {host.name}: {warning}", err=True)
