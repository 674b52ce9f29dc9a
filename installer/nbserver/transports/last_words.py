"""What a program said last: why it could not run the script."""

from __future__ import annotations

import re

from nbserver.base.message import Described, message

_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
_SHOWN = 1000  # characters at the end of what a program wrote; a notice of any length may be before them


def text_of(output: bytes, encoding: str = "utf-8") -> str:
    """Return a program's output in one line."""
    return " ".join(output.decode(encoding, "replace").split())


def of_console(output: bytes) -> str:
    """Return what PowerShell or a shell wrote to its error output, without colours, in one line.

    The code page of the host is unknown. Text that is not UTF-8 is read as in the code page of English systems.
    """
    plain = _COLOURS.sub(b"", output)
    try:
        plain.decode("utf-8")
    except UnicodeDecodeError:
        return text_of(plain, "cp437")
    return text_of(plain)


def end_of(words: str) -> str:
    """Return the end of a text."""
    return words if len(words) <= _SHOWN else f"...{words[-_SHOWN:]}"


def of_exit_code(words: str, code: int | None) -> Described | str:
    """Return the error output, or the exit code of a program without error output."""
    return end_of(words) or message("exit-code-without-output", "exit code {code}, no error output", code=code)
