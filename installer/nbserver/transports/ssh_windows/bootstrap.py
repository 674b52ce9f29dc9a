"""Run a script over SSH on Windows: the published bootstrap reads it from standard input. Without side effects."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence

from nbserver.render.step_files import step_folder
from nbserver.transports.payload import Payload
from nbserver.transports.winrm.bootstrap import data_lines

FILE_NAME = "ssh-bootstrap.ps1"
READY = re.compile(rb"nbserver ready in PowerShell (\w+)\r?\n")  # with its language mode
FULL = "FullLanguage"


def bootstrap() -> str:
    """Return the text of ps_scripts/ssh-bootstrap.ps1 with LF line ends."""
    return step_folder("ps_scripts").joinpath(FILE_NAME).read_bytes().decode("ascii").replace("\r\n", "\n")


def stop_request(number: str) -> str:
    """Return the command that stops the script of a bootstrap. It fails if the script is not running."""
    return f"try {{ [void][Threading.EventWaitHandle]::OpenExisting('Global\\nbserver-{number}').Set() }} catch {{ exit 1 }}"


def whole_input(script: str, number: str, envelope: Sequence[str], data: Payload) -> Iterator[bytes]:
    """Yield the input of the bootstrap. `number` is 32 hex digits that nobody can guess: they stop the script.

    All of it is ASCII, because the code page of the host is unknown. Nothing starts until the last line has arrived.
    """
    code = script.encode("ascii")
    yield f"script {hashlib.sha256(code).hexdigest()} {number}\n".encode("ascii")
    yield _line(code)
    for text in envelope:
        yield _line(text.encode("utf-8"))
    for text in data_lines(data):
        yield _line(text.encode("ascii"))
    yield b"start\n"


def _line(part: bytes) -> bytes:
    return base64.b64encode(part) + b"\n"
