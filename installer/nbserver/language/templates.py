"""The English templates of all messages by their code: what a host reports has its values filled in already."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from nbserver.base.message import PLACEHOLDER

FILE = "messages.json"  # written by tools/messages
LEAST = 10  # letters of a template: with less, it could be any text
LONGEST = 12_000  # characters of a text that is recognized; a host may send a million


@dataclass(frozen=True)
class _Form:
    """A template in `pieces`: text, the name of a value, text, and so on, as PLACEHOLDER splits it.

    `longest` is the longest of these texts, and `letters` counts all of them.
    """

    template: str
    pieces: tuple[str, ...]
    longest: str
    letters: int

    @classmethod
    def of(cls, template: str) -> Self:
        pieces = tuple(PLACEHOLDER.split(template))
        return cls(template, pieces, max(pieces[::2], key=len), sum(map(len, pieces[::2])))

    def values(self, text: str) -> dict[str, str] | None:
        """Return the values with which the template is the text, each as short as possible, or None if it is not.

        The time grows with the length of the text, which may be a host's, and not faster.
        """
        before, *rest = self.pieces
        if not rest:
            return {} if text == before else None
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
        likely = (one for one in self._forms if one.longest in text)
        fitting = [(one, found) for one in likely if (found := one.values(text)) is not None]
        if not fitting:
            return None
        best, values = max(fitting, key=lambda one: one[0].letters)
        return best.template, values

    @cached_property
    def _forms(self) -> list[_Form]:
        return [form for texts in self._texts.values() for what, _ in texts if (form := _Form.of(what)).letters >= LEAST]

    def words(self, code: str | None) -> Sequence[str]:
        """Return the words with which a script says what is and what should be."""
        return self._words.get(code or "", ())
