"""Text from outside is cleaned before it reaches a terminal, a log or a message."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.plain_text import clean

HIDDEN = [
    chr(n)
    for n in (
        0x061C,
        0x200B,
        0x200D,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        0x2060,
        *range(0x2066, 0x206A),
        0xFEFF,
        0xAD,
        0x3164,
        0xE0041,
        0xFE0F,
    )
]
BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1c", "\n \n\t\n"]


@pytest.mark.parametrize(
    "character", [*HIDDEN, "\0", "\x07", "\b", "\x1b", "\x7f", "\x80", "\x9b", "\x9d", "\ud800", "\udfff", "\ue000", "\U0010ffff"]
)
def test_what_a_terminal_acts_on_or_nobody_sees_becomes_visible(character: str) -> None:
    assert clean(f"a{character}b") == "a\ufffdb"


@pytest.mark.parametrize("line_break", BREAKS)
def test_a_text_stays_on_one_line(line_break: str) -> None:
    assert clean(f"one {line_break} two{line_break}") == "one / two"


def test_what_a_person_reads_stays_as_it_is() -> None:
    for text in (
        "C:\\Program Files\\nbserver  x",
        "Accès refusé.",
        "アクセスが拒否されました。",
        "ถูกปฏิเสธ",
        "تم رفض الوصول",
        "Erişim engellendi",
        "[/]",
    ):
        assert clean(text) == text
    assert clean("\x1b[31;1mred\x1b[0m\tand\u00a0plain") == "red and plain"


def test_what_is_left_of_two_sequences_is_none() -> None:
    assert clean("\x1b\x1b[0m[31mx") == "\ufffd[31mx"
    assert clean("\x1b]8;;https://example.com\x07here") == "\ufffd]8;;https://example.com\ufffdhere"


def test_a_long_text_is_cut() -> None:
    assert clean("x" * 2000) == "x" * 2000
    assert clean("x" * 2001) == "x" * 1997 + "..."
    assert clean("\x1b[0m" * 10**6 + "end", limit=20) == "..."
    assert clean("abcdef", limit=5) == "ab..."
    assert clean("abcdef", limit=2) == ".."


def test_a_long_run_of_blanks_is_read_once() -> None:
    """Else it would keep this thread, and the threads of all other hosts, for hours."""
    assert clean(" \t" * 10**6 + "x", limit=10**6) == "..."
    assert clean("a \t \n \n b") == "a / b"


ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from([*HIDDEN, *"\x1b[0;m\n\r\t/ \x85\u2028\ud800"]), max_size=120)


@given(ANY_TEXT, st.integers(0, 150))
def test_nothing_else_ever_comes_out(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable()
    assert not set(cleaned) & set(HIDDEN)
    assert not {unicodedata.category(c) for c in cleaned} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert clean(cleaned, limit) == cleaned
    cleaned.encode("utf-8")
