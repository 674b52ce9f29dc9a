"""Options that say in which order hosts run, and when no further host begins: --canary, --serial, and --max-failures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from nbserver.run.batches import Amount, Policy


class AmountOfHosts(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number of hosts, or a percentage of them."""

    name = "amount"

    def __init__(self, lowest: int) -> None:
        self._lowest = lowest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Amount:
        found = value if isinstance(value, Amount) else Amount.parse(value, self._lowest)
        if found is None:
            self.fail(f"must be a number of hosts from {self._lowest}, or a percentage such as 25%", param, ctx)
        return found


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which the command receives as one argument, `policy`."""

    @functools.wraps(command)
    def with_policy(*arguments: Any, canary: tuple[str, ...], serial: Amount | None, max_failures: Amount | None, **given: Any) -> Any:
        return command(*arguments, policy=Policy(canary, serial, max_failures), **given)

    found: Callable[..., Any] = with_policy
    options = (
        click.option(
            "--max-failures",
            type=AmountOfHosts(0),
            metavar="N|N%",
            help="Number of hosts that may fail; if more fail, nbserver starts no more hosts (default: no limit).",
        ),
        click.option(
            "--serial",
            type=AmountOfHosts(1),
            metavar="N|N%",
            help="Number of hosts in a batch; a batch begins when all hosts of the previous batch have finished (default: a single batch).",
        ),
        click.option(
            "--canary",
            multiple=True,
            metavar="N|HOST",
            help="Process the first N hosts, or HOST, before all others; the others start only if these succeed. To "
            "name several hosts, repeat the option.",
        ),
    )
    for option in options:
        found = option(found)
    return found
