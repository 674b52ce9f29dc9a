"""--failed-from: repeat a command on the hosts that did not succeed in an earlier run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click


class HostArgument(click.Argument):
    """HOST..., which is not required with --failed-from."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the patterns, or none."""
        if isinstance(ctx.params.get("failed_from"), str) and self.value_is_missing(value):
            return ()
        return super().process_value(ctx, value)


def failed_from_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --failed-from to a command with HOST... and --limit."""

    @functools.wraps(command)
    def with_failed(failed_from: str | None, hosts: tuple[str, ...], limits: tuple[str, ...], **given: Any) -> Any:
        if failed_from is None:
            return command(hosts=hosts, limits=limits, **given)
        from nbserver.base.message import phrase
        from nbserver.base.standard_streams import say
        from nbserver.commands.failed_hosts import failed_in
        from nbserver.inventory.selection import if_there, limited

        failed = failed_in(failed_from, given["runs"], given["inventory_path"])
        if not failed:
            say(phrase("No host failed in the run {run}", run=failed_from), err=True)
            return 0
        failed = if_there(failed)
        chosen = limited(limited(hosts, limits), failed) if hosts else limited(failed, limits)
        return command(hosts=chosen, limits=(), **given)

    option = click.option(
        "--failed-from",
        metavar="RUN",
        is_eager=True,  # before HOST
        help="Select only hosts that did not succeed in this earlier run (default for HOST: all hosts).",
    )
    found: Callable[..., Any] = option(with_failed)
    return found
