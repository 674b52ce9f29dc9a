"""Lines on a terminal: no word is cut in two."""

from __future__ import annotations

import io
import os

import click
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base import folding

FINGERPRINT = "SHA256:" + "ab" * 32


def test_a_line_that_fits_is_unchanged() -> None:
    assert folding.folded("local  ok", 80) == "local  ok"
    assert folding.folded(click.style("x" * 79, fg="green"), 80) == click.style("x" * 79, fg="green")


def test_the_rest_is_below_the_last_column() -> None:
    line = "local  packages  " + click.style("changed", fg="yellow") + "  " + "the notebook server packages are " * 3
    first, *rest = folding.folded(line.strip(), 80).split("\n")
    assert len(click.unstyle(first)) <= 80 and [one.strip() for one in rest] == ["packages are the notebook server packages are"]
    assert rest[0].startswith(" " * 26 + "packages")


def test_a_word_that_is_too_long_for_the_column_begins_further_left() -> None:
    assert folding.folded(f"Certificate  {FINGERPRINT}   (self-signed: compare it)", 80).split("\n") == [
        "Certificate",
        f"    {FINGERPRINT}",
        "    (self-signed: compare it)",
    ]


@given(st.lists(st.text(st.sampled_from("ab\u6771"), min_size=1, max_size=40), min_size=1), st.integers(20, 120))
def test_words_stay_as_they_are(words: list[str], columns: int) -> None:
    parts = folding.folded(" ".join(words), columns).split("\n")
    assert "".join("".join(parts).split()) == "".join(words)
    assert all(word in " ".join(parts).split() for word in words if word.isascii())
    for part in parts:
        assert folding.width(part) <= columns or (part.strip().isascii() and len(part.split()) == 1)


def test_a_line_of_japanese_ends_between_characters_but_not_before_punctuation() -> None:
    text = "\u6771" * 9 + "\u3002" + "\u6771" * 3
    assert folding.folded(text, 19, 2).split("\n") == ["\u6771" * 8, "  \u6771\u3002\u6771\u6771\u6771"]
    assert folding.width(folding.padded("\u6771a", 5)) == 5


def test_only_a_terminal_gets_folded_lines() -> None:
    assert folding.for_stream("a " * 100, io.StringIO()) == "a " * 100 == folding.for_stream("a " * 100, None)
    outer, inner = os.openpty() if hasattr(os, "openpty") else (0, 0)
    if not inner:
        return
    import fcntl
    import struct
    import termios

    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(inner, "w") as terminal, open(outer, "rb"):  # noqa: PTH123 (descriptors)
        assert max(map(len, folding.for_stream("ab " * 100, terminal).split("\n"))) <= 40
        assert folding.for_stream('{"a": "' + "a " * 100, terminal).count("\n") == 0, "JSON is for programs"
