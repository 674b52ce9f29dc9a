"""What runs a script where only a command line and standard input are at hand: the published bootstrap. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from nbserver.render.step_files import step_folder

FILE_NAME = "bootstrap.ps1"
# By its path: a folder in the machine's PATH that comes first may be one that others can write in.
PROGRAM = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell"
# -InputFormat None: PowerShell itself leaves standard input to the bootstrap. -OutputFormat Text: errors as text, no CLIXML.
OPTIONS = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat None -OutputFormat Text -EncodedCommand".split()


def bootstrap() -> str:
    """The text of ps_scripts/bootstrap.ps1, lines ended by a line feed."""
    return step_folder("ps_scripts").joinpath(FILE_NAME).read_bytes().decode("ascii").replace("\r\n", "\n")


def arguments() -> list[str]:
    """The arguments of PROGRAM. They are the same for every host and every run."""
    return [*OPTIONS, base64.b64encode(bootstrap().encode("utf-16-le")).decode("ascii")]


def standard_input(script: str, envelope: Sequence[str]) -> bytes:
    """What the bootstrap reads: the script's length and hash, the script, the envelope."""
    code = script.encode("ascii")
    head = f"script {len(code)} {hashlib.sha256(code).hexdigest()}\n"
    return head.encode("ascii") + code + "".join(f"{line}\n" for line in envelope).encode("utf-8")
