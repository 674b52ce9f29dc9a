"""What click says about a command line that is not valid, in the language of the reader. click fills in the values before anybody can ask."""

from __future__ import annotations

import re
from functools import lru_cache

import click

from nbserver.base.message import PLACEHOLDER
from nbserver.language.language import ENGLISH, Language

# The texts of click 8.1 to 8.5, and those of the types of nbserver's own options. The first one that fits counts.
TEXTS = (
    "Try '{command} {option}' for help.",
    "Error: {message}",
    "Invalid value for {param_hint}: {message}",
    "Invalid value: {message}",
    "Missing argument '{name}'. {rest}",
    "Missing argument '{name}'.",
    "Missing option '{name}'. {rest}",
    "Missing option '{name}'.",
    "Missing command.",
    "No such option {name}. {rest}",
    "No such option: {name} {rest}",
    "No such option {name}.",
    "No such option: {name}",
    "No such command {name}. {rest}",
    "No such command {name}.",
    "Did you mean {possibility}?",
    "(Did you mean one of: {possibilities}?)",
    "(Possible options: {possibilities})",
    "Got unexpected extra argument ({args})",
    "Got unexpected extra arguments ({args})",
    "Option {name} does not take a value.",
    "Option {name} requires an argument.",
    "Option {name} requires {nargs} arguments.",
    "Argument {name} takes {nargs} values.",
    "Takes {nargs} values but 1 was given.",
    "Takes {nargs} values but {len} were given.",
    "{value} is not one of {choices}.",
    "{value} is not a valid {number_type}.",
    "{value} is not in the range {range}.",
    "{name} {filename} does not exist.",
    "{name} {filename} is a file.",
    "{name} {filename} is a directory.",
    "{name} {filename} is not readable.",
    "{name} {filename} is not writable.",
    "default: {default}",
    "required",
    "File",
    "Directory",
    "Path",
    "integer",
    "integer range",
    "float",
    "float range",
    "unexpected argument; it is not shown because it may be a password. nbserver prompts for the password",
    "must be a number of hours, days, or weeks of at most 366 days, such as 30d",
    "must be names separated by commas",
    "must be env=NAME, keyring=NAME, or file=PATH",
    "must be a number of hosts from {lowest}, or a percentage such as 25%",
    "Show this message and exit.",
)
_SENTENCES = frozenset({"message", "rest", "number_type", "name"})  # values that can be texts of click as well


def translated(text: str, language: Language) -> str:
    """Return a text of click in a language. One that is not in TEXTS is returned as it is."""
    for template, pattern in _patterns() if language is not ENGLISH else ():
        if found := pattern.fullmatch(text):
            values = {name: translated(value, language) if name in _SENTENCES else value for name, value in found.groupdict().items()}
            return language.text(template, **values)
    return text


def shown(error: click.ClickException, language: Language) -> list[str]:
    """Return the lines about an error: of a command line that is not valid, how it is used comes first."""
    lines = []
    if isinstance(error, click.UsageError) and error.ctx is not None:
        lines.append(error.ctx.get_usage())
        if error.ctx.command.get_help_option(error.ctx) is not None:
            lines.append(
                language.text("Try '{command} {option}' for help.", command=error.ctx.command_path, option=error.ctx.help_option_names[0])
            )
        lines.append("")
    return [*lines, language.text("Error: {message}", message=translated(error.format_message(), language))]


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(text, re.compile(_pattern(text), re.DOTALL)) for text in TEXTS]


def _pattern(template: str) -> str:
    pieces = PLACEHOLDER.split(template)
    return "".join(f"(?P<{piece}>.+?)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
