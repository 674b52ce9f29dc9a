"""Color a script for the page: the kind of each word, as pygments finds it. The text itself never changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers.shell import BashLexer, PowerShellLexer
from pygments.token import Comment, Keyword, Name, Number, String

CLASSES = ((Comment, "c"), (String, "s"), (Keyword, "k"), (Number, "m"), (Name.Variable, "v"), (Name.Function, "f"), (Name.Builtin, "f"))


@lru_cache(maxsize=16)
def lines(text: str, language: str) -> tuple[Markup, ...]:
    """Return each line of the text as HTML. `language` is "ps1" or "sh". Raises ValueError if a color would change the text."""
    lexer: Lexer = (BashLexer if language == "sh" else PowerShellLexer)(stripnl=False, ensurenl=False)
    found: list[list[str]] = [[]]
    plain = []
    for _, kind, value in lexer.get_tokens_unprocessed(text):
        plain.append(value)
        name = next((name for token, name in CLASSES if kind in token), "")
        for number, piece in enumerate(value.split("\n")):
            if number:
                found.append([])
            if piece:
                found[-1].extend(_piece(piece, name))
    if "".join(plain) != text:
        raise ValueError("pygments changed the text")
    result = [Markup("".join(pieces)) for pieces in found]
    return tuple(result[:-1] if text.endswith("\n") else result)


def _piece(text: str, name: str) -> Iterator[str]:
    safe = str(escape(text))
    yield f"<i class={name}>{safe}</i>" if name and not text.isspace() else safe
