"""Recognize UTF-16, in which Windows PowerShell writes text files: with a byte order mark by > and Out-File, without one by >>."""

from __future__ import annotations


def utf_16(content: bytes) -> str:
    """Return the name of the encoding if the bytes are UTF-16, or an empty string.

    Without a mark, every second byte of the text must be mostly NUL, and so must that of its first character.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    for encoding, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        if len(content) % 2 == 0 and content[first : first + 1] == b"\0" and 2 * content[first::2].count(0) > len(content) // 2:
            return encoding
    return ""
