"""The English templates of all messages by their code: what a host reports has its values filled in already."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nbserver.base.message import PLACEHOLDER

FILE = "messages.json"  # written by tools/messages
LEAST = 10  # letters of a template: with less, it could be any text
LONGEST = 12_000  # characters of a text that is recognized; a host may send a million


@dataclass(frozen=True)
class _Form:
    """A template, with what is before its first value and after its last one. `letters` counts what is between all values."""

    template: str
    before: str
    after: str
    letters: int


def _form(template: str) -> _Form:
    pieces = PLACEHOLDER.split(template)[::2]
    return _Form(template, pieces[0], pieces[-1] if len(pieces) > 1 else "", sum(len(piece) for piece in pieces))


def _values(template: str, text: str) -> dict[str, str] | None:
    """Return the values with which the template is the text, each as short as possible, or None if it is not.

    The time grows with the length of the text, which may be a host's, and not faster.
    """
    before, *rest = PLACEHOLDER.split(template)
    if not rest:
        return {} if text == template else None
    if not (text.startswith(before) and text.endswith(rest[-1])):
        return None
    at, last = len(before), len(text) - len(rest[-1])
    found: dict[str, str] = {}
    for name, after in zip(rest[0:-2:2], rest[1:-2:2], strict=True):
        end = at + len(found[name]) if name in found else text.find(after, at, last)
        if end < at or not text.startswith(after, end, last) or found.setdefault(name, text[at:end]) != text[at:end]:
            return None
        at = end + len(after)
    return found if at <= last and found.setdefault(rest[-2], text[at:last]) == text[at:last] else None


class Templates:
    """`texts` maps a code to (what failed, what to do) of each message with it; `words` has the words of a difference."""

    def __init__(self, texts: Mapping[str, Sequence[tuple[str, str]]], words: Mapping[str, Sequence[str]]) -> None:
        self._texts, self._words = texts, words

    @classmethod
    def load(cls) -> Templates:
        """Return the templates of this release."""
        data = json.loads(importlib.resources.files("nbserver").joinpath("language", FILE).read_bytes())
        return cls(data["texts"], data["words"])

    def of(self, code: str) -> Sequence[tuple[str, str]]:
        """Return (what failed, what to do) of each message with a code; the second one can be empty."""
        return self._texts.get(code, ())

    def recognized(self, text: str) -> tuple[str, dict[str, str]] | None:
        """Return the template that a text is made of, and the values in it. If several fit, the one with the most letters counts."""
        if len(text) > LONGEST:
            return None
        fitting = [one for one in self._forms if text.startswith(one.before) and text.endswith(one.after)]
        for one in sorted(fitting, key=lambda form: -form.letters):
            if (found := _values(one.template, text)) is not None:
                return one.template, found
        return None

    @cached_property
    def _forms(self) -> list[_Form]:
        return [form for texts in self._texts.values() for what, _ in texts if (form := _form(what)).letters >= LEAST]

    def words(self, code: str | None) -> Sequence[str]:
        """Return the words with which a script says what is and what should be."""
        return self._words.get(code or "", ())
