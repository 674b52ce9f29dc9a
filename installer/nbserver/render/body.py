"""The body of a script: the part that is identical in all scripts of a release for one system."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_PART = re.compile(r"# ---- (?:(prelude|step): )?(\w+) -+")


@dataclass(frozen=True)
class Part:
    """A part of a body, such as `prelude: files`. `line` counts from 1 within the body; `sentence` says what the part does."""

    title: str
    line: int
    sentence: str

    @property
    def name(self) -> str:
        return self.title.rpartition(" ")[2]


@dataclass(frozen=True)
class Body:
    """`text` ends with a line feed. `steps` are the names of the steps, in order."""

    text: str
    steps: tuple[str, ...]
    parts: tuple[Part, ...]

    @classmethod
    def joined(cls, files: Sequence[str], steps: Sequence[str]) -> Body:
        """Return the body that consists of these files, separated by an empty line."""
        text = "\n".join(files)
        return cls(text, tuple(steps), tuple(_parts(text)))

    @cached_property
    def sha256(self) -> str:
        return body_sha256(self.text)


def _parts(text: str) -> list[Part]:
    found = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        match = _PART.fullmatch(line)
        if match:
            sentence = lines[number].removeprefix("# ") if number < len(lines) else ""
            found.append(Part(line.removeprefix("# ---- ").rstrip("- "), number, sentence))
    return found


def body_sha256(body: str) -> str:
    """Return the SHA-256 of a body, which each release publishes."""
    return hashlib.sha256(body.encode("ascii")).hexdigest()
