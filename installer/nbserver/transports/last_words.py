"""What a program said last: why it could not run the script."""

from __future__ import annotations

from nbserver.base.message import Described, message


def of_exit_code(words: str, code: int | None) -> Described | str:
    """Return the error output, or the exit code of a program without error output."""
    return words or message("exit-code-without-output", "exit code {code}, no error output", code=code)


def of_signal(words: str, signal: str) -> Described | str:
    """Return the error output, or the signal that killed a program without error output."""
    return words or message("signal-without-output", "killed by SIG{signal}, no error output", signal=signal)
