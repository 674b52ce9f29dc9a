"""A person at a terminal with 80 columns, who types commands of nbserver and answers its questions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

from tests.checkout import PYTHON_PATH
from tests.site import Site

SIZE = struct.pack("HHHH", 40, 80, 0, 0)  # rows, columns, and nothing in pixels


class Newcomer:
    """`seen` is what the terminal showed of each command. Its lines stay as they are written: it cannot move the cursor."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.seen: list[tuple[str, str]] = []

    def types(self, *arguments: str, answers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """The exit code and what was shown. An answer is typed when its question, which can be folded, is the last thing on the terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
        process = subprocess.Popen(
            [sys.executable, "-m", "nbserver", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.site.folder,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH, "TERM": "dumb"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # questions about passwords go to the terminal of the session
        )
        os.close(theirs)
        shown, answered = b"", 0
        with contextlib.suppress(OSError):  # the terminal is gone when the process has ended
            while part := os.read(ours, 65536):
                shown += part
                question = " ".join(shown[max(answered, len(shown) - 240) :].decode(errors="replace").split())
                if question.endswith(":") and shown.endswith(b" "):
                    answer = next((text for words, text in (answers or {}).items() if words in question), None)
                    if answer is not None:
                        os.write(ours, answer.encode() + b"\n")
                        answered = len(shown)
        os.close(ours)
        self.seen.append((" ".join(arguments), shown.decode()))
        return process.wait(), shown.decode()
