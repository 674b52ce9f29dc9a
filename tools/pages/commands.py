"""All commands with their arguments and options, from click: docs/commands.md."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import PurePath

import click

from nbserver.cli.program import SECTIONS
from tools.pages.parts import table

COLUMNS = 120
DEFAULT = re.compile(r" \(default: (?P<default>[^()]*(?:\([^()]*\))?[^()]*)\)\.$")


def overview() -> str:
    """Return one table of all commands, by section."""
    rows = []
    for title, commands in SECTIONS.items():
        for path, command in (found for group in commands for found in leaves(group, "nbserver")):
            rows.append((title, f"[`{path}`](#{path.replace(' ', '-')})", short(command)))
            title = ""
    return table(("", "Command", "What it does"), rows)


def variables() -> str:
    """Return one row per environment variable that sets an option of several commands."""
    found = {
        name: max(option.opts, key=len)
        for commands in SECTIONS.values()
        for _, command in (found for group in commands for found in leaves(group, "nbserver"))
        for option in command.params
        if isinstance(option, click.Option)
        for name in (option.envvar or ())[1:]
    }
    return table(("Variable", "Option"), sorted((f"`{name}`", f"`{option}`") for name, option in found.items()))


def details() -> str:
    """Return usage, description, and options of every command."""
    return "\n".join(
        section(path, command) for commands in SECTIONS.values() for group in commands for path, command in leaves(group, "nbserver")
    )


def leaves(command: click.Command, before: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command, or the commands of a group, with the words that call them."""
    path = f"{before} {command.name}"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from leaves(command.commands[name], path)
    else:
        yield path, command


def section(path: str, command: click.Command) -> str:
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    arguments = [usage(argument) for argument in command.params if isinstance(argument, click.Argument)]
    parts = [f"### {path}\n", f"{short(command)}.\n", f"    {' '.join([path, *(['[OPTIONS]'] if options else []), *arguments])}\n"]
    if described := body(command):
        parts.append(described)
    if options:
        parts.append(table(("Option", "Meaning", "Default"), map(row, options)))
    return "\n".join(parts)


def usage(argument: click.Argument) -> str:
    name = argument.metavar or value_name(argument) or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def short(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\n")[0]


def body(command: click.Command) -> str:
    r"""Return the help after its first line as Markdown: what click keeps as it is (`\b`) is code."""
    paragraphs = inspect.cleandoc(command.help or "").partition("\n")[2].strip("\n").split("\n\n")
    found = []
    for paragraph in filter(None, paragraphs):
        lines = paragraph.split("\n")
        kept = lines[0].strip() == "\b"
        found.append(
            "\n".join(f"    {line.strip()}" for line in lines[1:])
            if kept
            else textwrap.fill(" ".join(lines), COLUMNS, break_on_hyphens=False)
        )
    return "\n\n".join(found) + ("\n" if found else "")


def row(option: click.Option) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" `{option.metavar or value_name(option) or 'TEXT'}`"
    words = option.help or ""
    return f"{names}{value}", DEFAULT.sub(".", words) + limits(option), default(option)


def value_name(parameter: click.Parameter) -> str:
    """Return what stands for the value of an option or argument. click's own words differ from release to release."""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return "|".join(map(str, kind.choices))
    if isinstance(kind, click.Path) and isinstance(parameter, click.Option):
        return "PATH" if kind.file_okay and kind.dir_okay else "FILE" if kind.file_okay else "DIRECTORY"
    return "NUMBER" if isinstance(kind, click.IntRange) else ""


def limits(option: click.Option) -> str:
    kind = option.type
    return f" From {kind.min} to {kind.max}." if isinstance(kind, click.IntRange | click.FloatRange) else ""


def default(option: click.Option) -> str:
    if option.required:
        return "required"
    if found := DEFAULT.search(option.help or ""):
        return found["default"]
    value = option.default
    values = value if isinstance(value, tuple | list) else [value]
    if option.is_flag or not all(isinstance(one, str | int | PurePath) for one in values):
        return ""
    return ", ".join(f"`{one.as_posix() if isinstance(one, PurePath) else one}`" for one in values)
