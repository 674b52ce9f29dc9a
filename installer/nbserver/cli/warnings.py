"""Warnings about the settings and downloads of hosts, on standard error. They change neither a run nor its exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import phrase
from nbserver.base.standard_streams import warn

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.result import Result


def show_warnings(hosts: Sequence[AnyHost]) -> None:
    """Print what is valid, but probably not meant."""
    from nbserver.inventory.browser_ports import blocked_port

    for host in hosts:
        warning = blocked_port(host)
        if warning:
            warn(phrase("{name}: {warning}", name=host.name, warning=warning))


def show_moved(hosts: Sequence[AnyHost], results: Mapping[str, Result]) -> None:
    """Print which files the hosts would download, but that are gone. The result of the plan is the same without it."""
    from nbserver.commands.moved_downloads import moved

    for warning in moved(hosts, results):
        warn(warning)
