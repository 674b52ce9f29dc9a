"""Warnings about the settings and downloads of hosts, on standard error. They change neither a run nor its exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import notice, phrase
from nbserver.base.standard_streams import warn

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.result import Result


def show_warnings(hosts: Sequence[AnyHost]) -> None:
    """Print what is valid, but probably not meant."""
    from nbserver.inventory.browser_ports import blocked_port

    for host in hosts:
        warning = blocked_port(host)
        if warning:
            warn(phrase("{name}: {warning}", name=host.name, warning=warning))


def show_gone(inventory: Inventory, patterns: Sequence[str]) -> None:
    """Print which hosts of --failed-from are no longer in the inventory."""
    from nbserver.inventory.selection import gone
    from nbserver.settings.faults import few

    if names := gone(patterns, inventory.all_names):
        warn(notice("failed-hosts-gone", "no longer in the inventory, so nbserver leaves them out: {hosts}", hosts=few(names)))


def show_moved(hosts: Sequence[AnyHost], results: Mapping[str, Result]) -> None:
    """Print which files the hosts would download, but that are gone. The result of the plan is the same without it."""
    from nbserver.commands.moved_downloads import moved

    for warning in moved(hosts, results):
        warn(warning)
