"""One message of the sources: its code, its text, and where it arises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Entry:
    """`remedy` is what to do, if it is separate from the text. `file` is relative to the checkout.

    `kind` is "", "part" of another message, or, in a script, "difference" or "step". `words` are the literal words of a difference: what is, and what should be; "" is absent.
    `place` is what precedes the text of an error: "HOST", "WHERE", or a literal; or "" if nothing does.
    """

    code: str
    text: str
    remedy: str
    file: str
    line: int = 0
    kind: str = ""
    words: tuple[str, ...] = ()
    place: str = ""
