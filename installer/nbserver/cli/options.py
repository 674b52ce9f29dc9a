"""Options shared by several commands, and the prompt for secrets."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nbserver.base.standard_streams import text_for_reader
from nbserver.base.terminal import is_terminal
from nbserver.cli.completion import complete_hosts
from nbserver.cli.evidence import evidence_key_option
from nbserver.cli.failed_from import HostArgument
from nbserver.cli.output import output_options
from nbserver.cli.policy import policy_options
from nbserver.cli.variables import used

LONGEST_RUN = 21_600  # seconds, as in inventory/time_limits.py, which takes too long to import


def _inventory(help: str) -> Callable[..., Any]:
    return click.option(
        "-i",
        "--inventory",
        "inventory_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=Path("nbserver.toml"),
        show_default=True,
        help=help,
    )


inventory_option = _inventory("Inventory file; - is standard input.")
optional_inventory_option = _inventory("Inventory file; not required; - is standard input.")
runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder where runs are stored (default: nbserver-runs next to the inventory).",
)
known_option = click.option(
    "--known",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the certificate fingerprint of each notebook server (default: nbserver.known next to the inventory).",
)
site_option = click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Additional site file; it can only be stricter than the machine's site file.",
)
allowed_signers_option = click.option(
    "--allowed-signers",
    "signers",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Allowed signers file in OpenSSH's format, which lists who may approve.",
)
thorough_option = click.option(
    "--thorough", is_flag=True, help="Read all installed files and compare their hashes; takes seconds to minutes per host."
)
salt_option = click.option(
    "--salt",
    "salt",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the salt for password hashes (default: nbserver.salt next to the inventory).",
)


def command_line() -> tuple[str, ...]:
    """Return the arguments of nbserver, after the variables that set options, as run.json has them. No option takes a secret."""
    variables = used(click.get_current_context())
    return (*(f"{name}={value}" for name, value in variables.items()), *sys.argv[1:])


def hosts_and_inventory(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add HOST..., --limit, and --inventory, which most commands take. The limits become part of the patterns of `hosts`."""
    return _with_hosts(command, inventory_option, "HOST...", required=True)


def optional_hosts_and_inventory(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add [HOST...], --limit, and --inventory, for a command whose default is all hosts."""
    return _with_hosts(command, inventory_option, "[HOST...]", required=False)


def _with_hosts(command: Callable[..., Any], inventory: Callable[..., Any], metavar: str, *, required: bool) -> Callable[..., Any]:

    @functools.wraps(command)
    def with_limits(hosts: tuple[str, ...], limits: tuple[str, ...], **given: Any) -> Any:
        from nbserver.inventory.selection import limited

        return command(hosts=limited(hosts, limits), **given)

    limit = click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="PATTERN",
        shell_complete=complete_hosts,
        help="Pattern that each host must match in addition to HOST; can be repeated.",
    )
    with_inventory: Callable[..., Any] = limit(inventory(with_limits))
    argument = click.argument("hosts", cls=HostArgument, metavar=metavar, nargs=-1, required=required, shell_complete=complete_hosts)
    return argument(with_inventory)


approvals_option = click.option(
    "--approvals",
    type=click.IntRange(1, 9),
    metavar="NUMBER",
    help="How many people must have approved, each with a different key (default: 1).",
)


def approved_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about approval, for every command that sends scripts: --approved, --allowed-signers, --approvals, and --site."""
    approved = click.option(
        "--approved",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Rendered folder with signed approvals, or a manifest; any other script, target, or mode is refused.",
    )
    for option in (site_option, approvals_option, allowed_signers_option, approved):
        command = option(command)
    return command


def limit_options() -> list[Callable[[Any], Any]]:
    """Return the options that count instead of the settings of all hosts with the same names."""
    seconds = click.IntRange(1, LONGEST_RUN)
    return [
        click.option(
            "--timeout", type=seconds, metavar="SECONDS", help="Time limit for the run on each host (default: timeout of the host)."
        ),
        click.option(
            "--step-timeout",
            type=seconds,
            metavar="SECONDS",
            help="Time limit for each step on a host (default: step_timeout of the host).",
        ),
        click.option(
            "--connect-retries",
            type=click.IntRange(0, 100),
            metavar="NUMBER",
            help="How often to try again if a host cannot be reached (default: connect_retries of the host).",
        ),
        click.option(
            "--connect-timeout",
            type=click.IntRange(1, 600),
            metavar="SECONDS",
            help="Time limit for each attempt to connect (default: connect_timeout of the host).",
        ),
    ]


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add HOST..., and the options of every command that runs scripts."""
    return hosts_and_inventory(_run_options(command))


def run_options_hosts_optional(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add [HOST...], without which no inventory is required, and the options of every command that runs scripts."""
    return _with_hosts(_run_options(command), optional_inventory_option, "[HOST...]", required=False)


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    forks = click.option(
        "--forks",
        type=click.IntRange(1, 500),
        metavar="NUMBER",
        help="Number of hosts to process in parallel (default: 50 over SSH; with Windows hosts, 10 per processor, at most 50).",
    )
    for option in (*limit_options(), policy_options, forks, evidence_key_option, known_option, runs_option, output_options):
        command = option(command)
    return command


def asker() -> Callable[[str], str] | None:
    """Return a function that prompts for a secret, or None if standard input is not a terminal.

    The function raises KeyboardInterrupt and EOFError, which click turns into the same exception.
    """
    if not is_terminal(sys.stdin):
        return None

    def ask(question: str) -> str:
        try:
            answer: str = click.prompt(
                text_for_reader(question), default="", show_default=False, prompt_suffix="", hide_input=True, err=True
            )
        except click.Abort as error:
            raise (KeyboardInterrupt if isinstance(error.__context__, KeyboardInterrupt) else EOFError) from None
        return answer

    return ask
