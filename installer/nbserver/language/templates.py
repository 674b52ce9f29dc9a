"""The English templates of all messages by their code: what a host reports has its values filled in already."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence

FILE = "messages.json"  # written by tools/messages


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

    def words(self, code: str | None) -> Sequence[str]:
        """Return the words with which a script says what is and what should be."""
        return self._words.get(code or "", ())
