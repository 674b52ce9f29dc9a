"""Environment variables that set options: NBSERVER_FORKS for every command with --forks, NBSERVER_PLAN_FORKS for plan alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping

import click
from click.core import ParameterSource

PREFIX = "NBSERVER_"
# approval/policy.py reads NBSERVER_SITE, which counts in addition to --site. cli/language.py reads NBSERVER_LANG.
ELSEWHERE = frozenset({"site", "lang"})
OWN_MEANING = frozenset({"AUDIT_JSON", "AUDIT_EVIDENCE_KEY"})  # a file to write, and a public key: not what other commands mean


def name_variables(program: click.Group) -> None:
    """Give each option of each command its variables. That of one command counts before the one for all commands.

    An option that several commands have also has a variable for all of them, unless a command requires it.
    """
    options = [(_word(option), words, option) for words, option in _options(program)]
    uses = Counter(word for word, _, option in options if not option.required)
    for word, words, option in options:
        own = "_".join([*words, word])
        general = [PREFIX + word] if uses[word] > 1 and not option.required and own not in OWN_MEANING else []
        option.envvar = [PREFIX + own, *general]


def used(context: click.Context, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that set options of the command that is running, with their values."""
    found = {}
    for option in context.command.params:
        if option.name and option.name not in ELSEWHERE and context.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT:
            name = variable(option, environment)
            found[name] = environment[name]
    return found


def variable(option: click.Parameter, environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of the variable that sets an option. Raises StopIteration if none does."""
    return next(name for name in option.envvar or () if environment.get(name))


def blame(error: click.ClickException) -> None:
    """Make an error about the value of an option name the variable that it came from."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None or error.param.name is None:
        return
    if error.ctx.get_parameter_source(error.param.name) is ParameterSource.ENVIRONMENT:
        error.param_hint = variable(error.param)


def _options(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    """Yield each option of all commands, with the words of its command in upper case."""
    for name, command in group.commands.items():
        words = (*before, name.upper().replace("-", "_"))
        if isinstance(command, click.Group):
            yield from _options(command, words)
            continue
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ELSEWHERE:
                yield words, option


def _word(option: click.Option) -> str:
    longest = max(option.opts, key=len)
    return longest.lstrip("-").upper().replace("-", "_")
