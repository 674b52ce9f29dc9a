"""--lang, and the help in the language of the person who reads it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from click.core import ParameterSource

from nbserver.base import folding
from nbserver.cli.click_words import translated
from nbserver.language import choice
from nbserver.language.language import ENGLISH, Language

_EXTRA = re.compile(r"(?P<help>.*?)  \[(?P<extra>[^]]*)\]", re.DOTALL)
_KEPT = "\b"  # the first line of a paragraph whose lines stay as they are
NARROW = 80  # columns of help, unless the terminal is wider


def language_of(context: click.Context) -> Language:
    """Return the language of a command that is running."""
    found = context.find_root().obj
    return found if isinstance(found, Language) else ENGLISH


def language() -> Language:
    """Return the language of the command that is running."""
    return language_of(click.get_current_context())


def add_language(program: click.Group) -> None:
    """Add --lang to a group and all its commands, and show their help in the language of the reader."""
    for command in _commands(program):
        command.context_class = LanguageContext
        option = click.Option(
            [choice.OPTION],
            type=click.Choice(choice.CODES),
            envvar=[choice.VARIABLE],
            expose_value=False,
            is_eager=True,
            callback=_choose,
            hidden=command is not program,
            help="Language of messages and help; JSON is always in English (default: that of the system).",
        )
        command.params.append(option)


def short_help(command: click.Command, language: Language) -> str:
    """Return the first line of the help of a command."""
    return " ".join(language.text(inspect.cleandoc(command.help or "")).partition("\n\n")[0].partition("\n")[0].split(" "))


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from _commands(one)


def _choose(context: click.Context, option: click.Parameter, code: str | None) -> None:
    """Take note of the language, unless `main` did so before. The command line counts before the variable."""
    root = context.find_root()
    on_command_line = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    if code and (on_command_line or not isinstance(root.obj, Language)) and language_of(context).code != code:
        root.obj = choice.language(code)


class LanguageContext(click.Context):
    """A context whose help is in the language of the reader."""

    def make_formatter(self) -> click.HelpFormatter:
        found = language_of(self)
        if found is ENGLISH:
            return super().make_formatter()
        commands = self.command.commands.values() if isinstance(self.command, click.Group) else ()
        short = {short_help(command, ENGLISH): short_help(command, found) for command in commands}
        return _Formatter(found, short, width=self.terminal_width, max_width=self.max_content_width)


class _Formatter(click.HelpFormatter):
    """Writes texts in another language than English, and measures them in columns. `short` has the first lines of commands."""

    def __init__(self, language: Language, short: Mapping[str, str], **given: Any) -> None:
        super().__init__(**given)
        self._language, self._short = language, short

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix if prefix is not None else f"{self._language.text('Usage:')} ")

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{self._language.word(heading)}{self._language.colon}\n")

    def write_text(self, text: str) -> None:
        self.write("\n\n".join(_paragraphs(self._language.text(text), self.width, self.current_indent)) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        given = [(term, self._of_option(text)) for term, text in rows]
        column = min(max((folding.width(term) for term, _ in given), default=0), col_max) + col_spacing
        for term, text in given:
            lines = "\n".join(_paragraphs(text, max(self.width - column - self.current_indent, 10), 0)).split("\n")
            begin = " " * self.current_indent + term
            if folding.width(term) + col_spacing <= column:
                begin = folding.padded(begin, column + self.current_indent) + lines.pop(0)
            self.write("\n".join([begin.rstrip(), *(" " * (column + self.current_indent) + line for line in lines if line)]) + "\n")

    def _of_option(self, text: str) -> str:
        """Return the help of an option, and what click adds to it in brackets."""
        found = _EXTRA.fullmatch(text)
        if not found:
            return self._short.get(text) or self._language.text(text)
        extra = "; ".join(translated(part, self._language) for part in found["extra"].split("; "))
        return f"{self._language.text(found['help'])}  [{extra}]"


def _paragraphs(text: str, columns: int, indent: int) -> list[str]:
    """Return the paragraphs, folded to so many columns, of which the first ones are empty."""
    found = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == _KEPT:
            found.append("\n".join(folding.folded(" " * indent + line, columns) for line in lines[1:]))
        else:
            found.append(folding.folded(" " * indent + _joined(line.strip() for line in lines), columns, indent))
    return found


def _joined(lines: Iterable[str]) -> str:
    """Return lines as one. Between two characters of Japanese, there is no space."""
    text = ""
    for line in lines:
        wide = bool(text and line) and folding.width(text[-1]) == folding.width(line[0]) == 2
        text += line if wide or not text else f" {line}"
    return text
