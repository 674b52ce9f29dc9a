"""The text of a secret: what a file or a program has for it, and that it is Unicode."""

from __future__ import annotations

from nbserver.base.errors import SecretError
from nbserver.base.text_encoding import utf_16


def decode(content: bytes) -> str:
    """Return the text without a line end at its end. Raises ValueError."""
    text = content.decode(utf_16(content) or "utf-8-sig").removeprefix("\ufeff")
    if "\0" in text:
        raise ValueError("NUL")
    return text.removesuffix("\n").removesuffix("\r")


def require_unicode(secret: str, what: str, host: str) -> str:
    """Return the secret. Bytes of a variable that are not UTF-8 could not be sent, and errors of encoding show the first one."""
    try:
        secret.encode("utf-8")
    except UnicodeEncodeError:
        raise SecretError(
            "secret-not-unicode", "{key}: the secret is not valid UTF-8", where=host, todo="Store the secret as UTF-8", key=what
        ) from None
    return secret
