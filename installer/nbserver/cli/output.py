"""Options that say how a run is shown: --json, --quiet, --verbose, --log, and --junit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nbserver.cli.language import language

if TYPE_CHECKING:
    from nbserver.run.view import View

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output, one object per line.")

object_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to standard output.")


@dataclass(frozen=True)
class Output:
    """How a run is shown."""

    as_json: bool
    quiet: bool
    verbose: bool
    log: Path | None
    junit: Path | None = None

    @property
    def for_a_person(self) -> bool:
        """Whether what is good to know is printed in addition to the run."""
        return not self.as_json and not self.quiet

    def view(self, check: bool = False) -> View:
        """Return the view, which shows the findings of a check if it is one.

        Raises UsageError for options that exclude each other, and if a file cannot be written.
        """
        from nbserver.view import choice

        return choice.choose(self.as_json, self.quiet, self.verbose, self.log, self.junit, check, language())


def _as_requested(kinds: dict[str, bool]) -> dict[str, bool]:
    """Return the kinds of output, of which only one is possible. One on the command line counts before the variables of the others."""
    context = click.get_current_context()
    on_command_line = {name for name, on in kinds.items() if on and context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return {name: name in on_command_line for name in kinds} if on_command_line else kinds


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which the command receives as one argument, `output`."""

    @functools.wraps(command)
    def with_output(*arguments: Any, as_json: bool, quiet: bool, verbose: bool, log: Path | None, junit: Path | None, **given: Any) -> Any:
        kinds = _as_requested({"as_json": as_json, "quiet": quiet, "verbose": verbose})
        return command(*arguments, output=Output(**kinds, log=log, junit=junit), **given)

    found: Callable[..., Any] = with_output
    options = (
        click.option(
            "--junit",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="File to which the result is written as JUnit XML, in addition to the output.",
        ),
        click.option(
            "--log",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="File to which every event is appended, in addition to the output.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Print every event, including progress and the output of programs."),
        click.option("-q", "--quiet", is_flag=True, help="Print only what failed."),
        json_option,
    )
    for option in options:
        found = option(found)
    return found
