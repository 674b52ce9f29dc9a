"""A language of the interface, as a value that the views and pages get. English needs no catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbserver.base.message import Given, converted, fill


class Language:
    """English, and the base class of the other languages. `code` is the code of ISO 639, as in the attribute `lang` of HTML."""

    code = "en"
    colon = ":"  # after a word, as its own piece of text
    comma = ", "  # between the parts of a list
    errors = "backslashreplace"  # what is written instead of characters that an encoding lacks

    def text(self, template: str, /, **values: Given) -> str:
        """Return the template in this language with its values filled in."""
        return fill(template, converted(values)) if values else template

    def plural(self, one: str, several: str, count: int, /, **values: Given) -> str:
        """Return the template for a number, which is its value `count`."""
        return fill(one if count == 1 else several, converted({**values, "count": count}))

    def template(self, template: str) -> str:
        """Return the template in this language, without its values: for the templates of pages."""
        return template

    def template_for(self, one: str, several: str, count: int) -> str:
        """Return the template for a number in this language, without its values."""
        return one if count == 1 else several

    def word(self, word: str) -> str:
        """Return a word that is also a word of the JSON output, such as an outcome. An unknown one is returned as it is."""
        return word

    def render(self, said: object) -> str:
        """Return a message, an error, or a phrase in this language, and everything else as its own text."""
        return str(said)

    def reported(self, text: str, code: str | None, values: Mapping[str, Any], cause: Mapping[str, Any] | None = None) -> str:
        """Return a message of which only its English text, code, and values are known, or its text if nothing else is known.

        `cause` has the code and the values of the reason in it.
        """
        return text

    def joined(self, parts: Iterable[str]) -> str:
        """Return the parts of a list as one text. A part that is empty is left out."""
        return self.comma.join(filter(None, parts))

    def finding(
        self, text: str, todo: str, code: str | None, values: Mapping[str, Any], cause: Mapping[str, Any] | None = None
    ) -> tuple[str, str]:
        """Return what a check has found, and what to do: the first sentence of a reported message, and the others."""
        return text, todo

    def difference_word(self, word: str, code: str | None) -> str:
        """Return what is, or what should be, in a difference with this code: a word of the script, or a value of the host."""
        return word


ENGLISH = Language()
