"""Options that several commands have, and how a person is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def _inventory(help: str) -> Callable[..., Any]:
    return click.option(
        "-i",
        "--inventory",
        "inventory_path",
        type=click.Path(path_type=Path),
        default=Path("nbserver.toml"),
        show_default=True,
        help=help,
    )


inventory_option = _inventory("The inventory.")
optional_inventory_option = _inventory("The inventory; none is needed.")
runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), help="Where runs are kept (default: nbserver-runs beside the inventory)."
)
approved_option = click.option("--approved", type=click.Path(path_type=Path), help="A manifest: only scripts that stand in it may run.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
salt_option = click.option(
    "--salt",
    "salt",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file with the site's salt (default: nbserver.salt next to the inventory).",
)


def hosts_and_inventory(command: Callable[..., Any]) -> Callable[..., Any]:
    """HOST... and -i, which nearly every command has."""
    with_inventory: Callable[..., Any] = inventory_option(command)
    return click.argument("hosts", metavar="HOST...", nargs=-1, required=True)(with_inventory)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What plan, apply and undo have in common."""
    forks = click.option("--forks", type=click.IntRange(1, 500), default=10, show_default=True, help="Hosts at a time.")
    for option in (forks, runs_option, json_option):
        command = option(command)
    return hosts_and_inventory(command)


def asker() -> Callable[[str], str] | None:
    """How to ask a person for a secret; None where nobody is there."""
    if not sys.stdin or not sys.stdin.isatty():
        return None

    def ask(question: str) -> str:
        answer: str = click.prompt(question, default="", show_default=False, prompt_suffix="", hide_input=True, err=True)
        return answer

    return ask
