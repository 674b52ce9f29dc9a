"""Collects the texts of the interface that are translated, with where each of them is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from jinja2.ext import babel_extract
from pydantic import BaseModel

from nbserver.base.message import PLACEHOLDER
from tools import message_page

# Functions and methods whose first argument is a text, and those whose first two are singular and plural.
TEXTS = frozenset({"phrase", "text", "word", "words"})
PLURALS = frozenset({"counted", "plural"})
TABLES = re.compile(r"TEXTS|(?:[A-Z]+_)*WORDS")  # names of module constants with nothing but texts


@dataclass(frozen=True)
class Text:
    """`several` is the plural form, or empty. `file` is relative to the checkout; `what` says what the text is."""

    text: str
    several: str
    file: str
    what: str


def collect(root: Path) -> list[Text]:
    """Return all texts of a checkout, each once."""
    found: dict[str, Text] = {}
    for text in (*_messages(root), *_help(), *_steps(), *_settings(), *_phrases(root), *_pages(root)):
        known = found.get(text.text)
        if _has_words(text.text) and (known is None or (text.several and not known.several)):
            found[text.text] = text
    return [found[text] for text in sorted(found)]


def _has_words(text: str) -> bool:
    return re.search("[A-Za-z]{2}|} s", PLACEHOLDER.sub("}", re.sub(r"%\(\w+\)s", "", text))) is not None


def _messages(root: Path) -> Iterator[Text]:
    systems, _ = message_page.collect(root)
    for system, entries in systems.items():
        for entry in entries:
            what = f"{entry.code} ({system}{f', {entry.kind}' if entry.kind else ''})"
            for text in (entry.text, entry.remedy, *entry.words):
                yield Text(text, "", entry.file, what)


def _help() -> Iterator[Text]:
    from nbserver.cli import program

    yield from (Text(title, "", "installer/nbserver/cli/program.py", "heading") for title in (*program.SECTIONS, "Options", "Commands"))
    yield from _help_of(program.cli, ())


def _help_of(command: click.Command, before: tuple[str, ...]) -> Iterator[Text]:
    path = (*before, command.name or "")
    given = [(command.help, f"help of {' '.join(path)}"), (command.epilog, "epilog")]
    given += [(option.help, f"option {option.opts[0]}") for option in command.params if isinstance(option, click.Option)]
    yield from (Text(inspect.cleandoc(text), "", "installer/nbserver/cli", what) for text, what in given if text)
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _help_of(one, path)


def _steps() -> Iterator[Text]:
    from nbserver.review import step_words

    for (system, scope), steps in step_words.WORDS.items():
        for name, words in steps.items():
            for text in (words.changes, words.sees, words.undoes):
                yield Text(text, "", "installer/nbserver/review/step_words.py", f"step {name} ({system}, {scope})")


def _settings() -> Iterator[Text]:
    """Yield what the value of each setting must be, which a message about another value says."""
    for package in ("settings", "inventory", "catalog", "render", "approval"):
        folder = importlib.import_module(f"nbserver.{package}")
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            importlib.import_module(module.name)
    for model in _models(BaseModel):
        file = f"installer/{model.__module__.replace('.', '/')}.py"
        # A model that pydantic makes when it is first needed is in no module, and may be there or not.
        is_lasting = getattr(sys.modules.get(model.__module__), model.__name__, None) is model
        for field in model.model_fields.values() if is_lasting and model.__module__.startswith("nbserver.") else ():
            if field.description:
                yield Text(field.description, "", file, "what a setting must be")


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in sorted(base.__subclasses__(), key=lambda one: (one.__module__, one.__qualname__)):
        yield model
        yield from _models(model)


def _phrases(root: Path) -> Iterator[Text]:
    for path in sorted((root / "installer" / "nbserver").rglob("*.py")):
        file = path.relative_to(root).as_posix()
        yield from of_python(path.read_text("utf-8"), file)


def of_python(source: str, file: str) -> Iterator[Text]:
    """Yield the texts of one module: the literals of calls, and the tables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = _called(node.func)
            given = [argument.value for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
            if name in PLURALS and len(given) >= 2:
                yield Text(given[0], given[1], file, "plural")
            elif name in TEXTS:
                yield from (Text(text, "", file, "") for text in (given if name == "words" else given[:1]))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and TABLES.fullmatch(target.id) for target in targets):
                yield from (Text(text, "", file, "") for text in _literals(node.value))


def _called(function: ast.expr) -> str:
    """Return the name of a function, or of a method of a language; other objects have methods with such names, too."""
    if isinstance(function, ast.Name):
        return function.id
    if not isinstance(function, ast.Attribute):
        return ""
    owner = function.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return function.attr if name.lstrip("_") == "language" else ""


def _literals(node: ast.expr) -> Iterator[str]:
    """Yield the texts of a table; the keys of a dictionary are no texts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _literals(value)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for value in node.elts:
            yield from _literals(value)
    elif isinstance(node, ast.Starred):
        yield from _literals(node.value)
    elif isinstance(node, ast.Call):
        for value in node.args:
            yield from _literals(value)


def _pages(root: Path) -> Iterator[Text]:
    options = {"trim_blocks": "true", "lstrip_blocks": "true"}
    for path in sorted((root / "installer" / "nbserver").rglob("*.jinja")):
        with path.open("rb") as file:
            for _, _, given, _ in babel_extract(file, ("_", "gettext", "ngettext"), [], options):
                texts = [given] if isinstance(given, str) else [text for text in given if text]
                yield Text(texts[0], texts[1] if len(texts) > 1 else "", path.relative_to(root).as_posix(), "HTML")


def placeholders(text: str) -> set[str]:
    """Return the names of the values in a text."""
    return {*PLACEHOLDER.findall(text), *re.findall(r"%\((\w+)\)s", text)}
