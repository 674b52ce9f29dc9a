"""Lines out of a stream of bytes, wherever it is cut and whatever is lost of it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from nbserver.transports.lines import Lines

TEXTS = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=20).map(lambda text: json.dumps({"n": 1, "text": text})),
    max_size=8,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places (modulo its length)."""
    at = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=10), st.sampled_from(["\n", "\r\n"]))
def test_the_lines_are_the_same_however_they_arrive(texts: list[str], places: list[int], line_end: str) -> None:
    lines = Lines("win1")
    pieces = cut("".join(text + line_end for text in texts).encode(), places)
    assert [line for piece in pieces for line in lines.feed(piece)] + lines.end() == texts


@given(TEXTS, st.integers(0, 10_000), st.integers(0, 10_000))
def test_behind_a_hole_no_line_is_made_of_two(texts: list[str], start: int, end: int) -> None:
    texts = [json.dumps({**json.loads(text), "n": n}) for n, text in enumerate(texts)]
    before, _, after = cut("".join(text + "\r\n" for text in texts).encode(), [start, end])
    lines = Lines("win1")
    heard = lines.feed(before)
    lines.torn()
    heard += lines.feed(after) + lines.end()
    assert [line for line in heard if line not in texts] == []
    assert heard == [text for text in texts if text in heard], "in their order, each once"


def test_without_a_hole_at_the_end_of_a_line_nothing_is_let_go() -> None:
    lines = Lines("win1")
    assert lines.feed(b'{"n": 1}\r\n') == ['{"n": 1}']
    lines.torn()
    assert lines.feed(b'{"n": 2}\r\n') == ['{"n": 2}']


def test_a_last_line_without_an_end_counts() -> None:
    lines = Lines("win1")
    assert lines.feed(b"abc") == [] and lines.end() == ["abc"] and lines.end() == []


def test_what_is_not_ascii_cannot_pass_for_it() -> None:
    assert Lines("win1").feed("gr\u00fc\u00df\n".encode("cp437")) == ["gr\ufffd\ufffd"]
