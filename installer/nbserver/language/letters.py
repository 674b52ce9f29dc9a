"""Letters that an encoding lacks, without their accents: readable, where an escape would not be."""

from __future__ import annotations

import codecs
import unicodedata

NAME = "nbserver-letters"  # the name of the error handler
_PLAIN = {"\u00a0": " ", "\u0153": "oe", "\u0152": "OE", "\u00ab": '"', "\u00bb": '"'}


def plain(text: str) -> str:
    """Return the text in ASCII: a letter without its accent, and another character as an escape."""
    found = ""
    for character in text:
        bare = unicodedata.normalize("NFD", character)[0]
        found += _PLAIN.get(character) or (bare if bare.isascii() else character.encode("ascii", "backslashreplace").decode("ascii"))
    return found


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


codecs.register_error(NAME, _replace)
