"""Run a script with only a command line and standard input: the published bootstrap. Without side effects."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence

from nbserver.render.step_files import step_folder
from nbserver.transports.payload import Payload, pieces

FILE_NAME = "bootstrap.ps1"
LINE = 131_072  # bytes of data in a line of the envelope
# An absolute path, because an earlier folder in the machine's PATH may be writable for other users.
PROGRAM = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell"
# -InputFormat None: PowerShell leaves standard input to the bootstrap. -OutputFormat Text: errors are text, not CLIXML.
OPTIONS = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat None -OutputFormat Text -EncodedCommand".split()


def bootstrap() -> str:
    """Return the text of ps_scripts/bootstrap.ps1 with LF line ends."""
    return step_folder("ps_scripts").joinpath(FILE_NAME).read_bytes().decode("ascii").replace("\r\n", "\n")


def arguments() -> list[str]:
    """Return the arguments of PROGRAM, which are the same for every host and run."""
    return [*OPTIONS, base64.b64encode(bootstrap().encode("utf-16-le")).decode("ascii")]


def standard_input(script: str, envelope: Sequence[str]) -> bytes:
    """Return the input of the bootstrap: the script's length and hash, the script, and the envelope."""
    code = script.encode("ascii")
    head = f"script {len(code)} {hashlib.sha256(code).hexdigest()}\n"
    return head.encode("ascii") + code + "".join(f"{line}\n" for line in envelope).encode("utf-8")


def data_lines(data: Payload) -> Iterator[str]:
    """Yield the lines that follow the envelope: standard input is text, so the data is in Base64."""
    for piece in pieces(data.blocks(), LINE):
        yield f"data {base64.b64encode(piece).decode('ascii')}"


def whole_input(script: str, envelope: Sequence[str], data: Payload) -> Iterator[bytes]:
    """Yield the input of the bootstrap and, after it, the data, which is read when it is needed."""
    yield standard_input(script, envelope)
    for line in data_lines(data):
        yield f"{line}\n".encode("ascii")
