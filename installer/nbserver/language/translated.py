"""French and Japanese: texts from a catalog, in which the English template is the key."""

from __future__ import annotations

import gettext
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbserver.base.errors import HostError, NbserverError
from nbserver.base.message import PLACEHOLDER, Described, Given, Lines, Phrase, Reported, converted, fill
from nbserver.base.plain_text import LINE_BREAK, clean
from nbserver.language import letters
from nbserver.language.language import Language
from nbserver.language.templates import Templates

LONGEST = 12_000  # characters of an error in a result
_COLONS = {"fr": "\u00a0:"}
_COMMAS = {"ja": "\u3001"}
_SENTENCE = re.compile("(.*?)(?:\\. |\u3002)(.+)", re.DOTALL)  # the first one, and the rest
_STOPS = {"ja": "\u3002"}  # between two sentences
SEPARATORS = ("\n", "; ", ", ")  # between the messages that are one value


class Translated(Language):
    """A language with a catalog. What the catalog lacks is in English."""

    errors = letters.NAME

    def __init__(self, code: str) -> None:
        self.code = code
        self._catalog = _catalog(code)
        self._templates = Templates.load()
        self.colon = _COLONS.get(code, ":")
        self.comma = _COMMAS.get(code, ", ")

    def text(self, template: str, /, **values: Given) -> str:
        return fill(self._catalog.gettext(template), self._rendered(converted(values))) if template else ""

    def plural(self, one: str, several: str, count: int, /, **values: Given) -> str:
        return fill(self._catalog.ngettext(one, several, count), self._rendered(converted({**values, "count": count})))

    def template(self, template: str) -> str:
        return self._catalog.gettext(template)

    def template_for(self, one: str, several: str, count: int) -> str:
        return self._catalog.ngettext(one, several, count)

    def word(self, word: str) -> str:
        return self._catalog.gettext(word) if word else ""

    def render(self, said: object) -> str:
        if isinstance(said, Phrase):
            return (
                self.plural(said.template, said.several, said.number, **said.values)
                if said.several
                else self.text(said.template, **said.values)
            )
        if isinstance(said, Lines):
            return said.separator.join(map(self.render, said.messages))
        if isinstance(said, NbserverError):
            what, todo = (self._filled(template, said.values) for template in (said.template, said.remedy))
            if isinstance(said, HostError):
                what, todo = _on_one_line(what) if said.one_line else what, _on_one_line(todo)
            return self._error(said.where, what, todo)
        if isinstance(said, Reported):
            return self.reported(said.text, said.code, said.values, said.cause)
        if isinstance(said, Described) and (template := getattr(said, "template", "")):
            return self._filled(template, said.values)
        return str(said)

    def reported(self, text: str, code: str | None, values: Mapping[str, Any], cause: Mapping[str, Any] | None = None) -> str:
        """Return the message. Its values can be a host's, or from a file that anybody has changed: they may be anything."""
        try:
            return self._reported(text, code, values, cause)
        except RecursionError:
            return text

    def _reported(self, text: str, code: object, values: object, cause: Mapping[str, Any] | None) -> str:
        values = values if isinstance(values, Mapping) else {}
        if cause and isinstance(values.get("cause"), str):
            values = {**values, "cause": {"text": values["cause"], **cause}}
        lists = any(isinstance(value, list) for value in values.values())
        for separator in SEPARATORS if lists else ("",):
            given = {name: _Several(value, separator) if isinstance(value, list) else value for name, value in values.items()}
            for what, todo in self._templates.of(code) if isinstance(code, str) else ():
                if found := self._matched(text, what, todo, given):
                    return _on_one_line(found)
        return self._recognized(text) if code is None else text

    def finding(
        self, text: str, todo: str, code: str | None, values: Mapping[str, Any], cause: Mapping[str, Any] | None = None
    ) -> tuple[str, str]:
        whole = f"{text}. {todo}" if todo else text
        said = self.reported(whole, code, values, cause)
        if said == whole:
            return self.reported(text, code, values, cause), self._recognized(todo)
        found = _SENTENCE.match(said) if todo else None
        return (found[1], found[2]) if found else (said, "")

    def _recognized(self, text: str) -> str:
        """Return a text of a script without a code in this language, if it is one."""
        found = self._templates.recognized(text)
        return self._filled(*found) if found else text

    def _matched(self, text: str, what: str, todo: str, values: Mapping[str, Any]) -> str:
        """Return the message in this language if these templates and values are the text, and "" otherwise. A place can come first."""
        if not values.keys() >= {*PLACEHOLDER.findall(what), *PLACEHOLDER.findall(todo)}:
            return ""
        english = {name: _english(value) for name, value in values.items()}
        whole = clean(fill(what, english), LONGEST)
        if text == whole:
            return self._filled(what, values)
        if text.startswith(f"{whole} (") and text.endswith(")"):  # and what a program has said about it
            return self._filled(what, values) + text.removeprefix(whole)
        end = clean(fill(what, english).rstrip(". \n"), LONGEST) + (f". {clean(fill(todo, english), LONGEST).rstrip('. ')}" if todo else "")
        before = text.removesuffix(end)
        if before == text or (before and not before.endswith(": ")):
            return ""
        return self._error(before.removesuffix(": "), self._filled(what, values), self._filled(todo, values))

    def difference_word(self, word: str, code: str | None) -> str:
        return self.word(word) if word in self._templates.words(code) else word

    def _error(self, where: str, what: str, todo: str) -> str:
        what, todo = what.rstrip(". \n\u3002"), todo.rstrip(". \n\u3002")
        said = f"{what}{_STOPS.get(self.code, '. ')}{todo}" if todo else what
        return f"{where}: {said}" if where else said

    def _filled(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the template with its values, cleaned as in the English text: they can be a host's."""
        cleaned = {name: _cleaned(value) for name, value in values.items()}
        return fill(self._catalog.gettext(template), self._rendered(cleaned)) if template else ""

    def _rendered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(value) for name, value in values.items()}

    def _value(self, value: Any) -> Any:
        if value is None:
            return self.word("none")
        if isinstance(value, Described | Phrase):
            return self.render(value)
        if isinstance(value, Mapping):  # as the output for programs has it
            return self.reported(_cleaned(str(value.get("text", ""))), value.get("code"), value.get("values", {}))
        if isinstance(value, _Several):
            return value.separator.join(str(self._value(_cleaned(one))) for one in value.messages)
        return self._recognized(value) if isinstance(value, str) and " " in value else value


class _Several:
    """Messages that are one value, with what is between them."""

    def __init__(self, messages: Sequence[Any], separator: str) -> None:
        self.messages, self.separator = messages, separator


def _cleaned(value: Any) -> Any:
    """Return a text line by line without what a terminal would act on, and everything else as it is."""
    return "\n".join(clean(line, LONGEST) for line in value.split("\n")) if type(value) is str else value


def _on_one_line(text: str) -> str:
    return text.replace("\n", LINE_BREAK)


def _english(value: Any) -> Any:
    if isinstance(value, _Several):
        return value.separator.join(str(_english(one)) for one in value.messages)
    return str(value.get("text", "")) if isinstance(value, Mapping) else value


def _catalog(code: str) -> gettext.GNUTranslations:
    path = importlib.resources.files("nbserver").joinpath("language", "locale", code, "LC_MESSAGES", "nbserver.mo")
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)
