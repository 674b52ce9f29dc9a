"""Clean untrusted text (from a host, a server or a program) for a terminal, a log or a message. Pure functions."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
ELLIPSIS = "..."
LINE_BREAK = " / "

_COLORS = re.compile(r"\x1b\[[0-9;]{0,30}[mK]")  # K clears the rest of the line; grep writes it with its colors
# A run of blanks is looked at once, from its first one: the text may be a host's, and nothing but blanks.
_LINE_BREAKS = re.compile(r"(?:(?<![ \t])[ \t]+)?[\n\r\v\f\x1c-\x1e\x85\u2028\u2029][ \t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*")
# Printable characters for Python that are invisible: fillers, joiners and variation selectors (Default_Ignorable_Code_Point).
_INVISIBLE = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            *range(0x180B, 0x1810),
            0x2800,
            0x3164,
            *range(0xFE00, 0xFE10),
            0xFFA0,
            *range(0xE0100, 0xE01F0),
        ),
    )
)
_SPACES = frozenset("\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
_LOOKED_AT = 4  # times the limit: colors and line breaks are longer than their replacements


def without_colors(text: str) -> str:
    """Return the text without color escapes."""
    return _COLORS.sub("", text)


def clean(text: str, limit: int = 2000) -> str:
    """Return the text on one line of at most `limit` characters, without control sequences and invisible characters.

    Line breaks become " / ", colors are removed, other spaces become plain spaces. Control characters, bidirectional controls, lone
    surrogates and characters that are invisible, unassigned or for private use become U+FFFD. Text that is cut ends with "...".
    """
    seen = text[: limit * _LOOKED_AT]
    cut = len(seen) < len(text)
    seen = _LINE_BREAKS.sub("\n", without_colors(seen)).strip("\n").replace("\n", LINE_BREAK)
    if not (seen.isascii() and seen.isprintable()):
        seen = "".join(map(_visible, seen))
    if cut or len(seen) > limit:
        seen = (seen[: max(limit - len(ELLIPSIS), 0)].rstrip() + ELLIPSIS)[:limit]
    return seen


def is_invisible(character: str) -> bool:
    """Return whether a reader cannot see a character, or takes it for a plain space."""
    return not character.isprintable() or character in _INVISIBLE


def _visible(character: str) -> str:
    if character in _SPACES:
        return " "
    return REPLACEMENT if is_invisible(character) else character
