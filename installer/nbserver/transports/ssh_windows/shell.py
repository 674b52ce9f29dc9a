"""The default shell of an SSH server on Windows: which one it is, and how it starts PowerShell. Without side effects."""

from __future__ import annotations

import base64
import re
from typing import Literal

from nbserver.transports.winrm.bootstrap import OPTIONS, PROGRAM

Shell = Literal["cmd", "powershell"]

# Each shell replaces only its own kind of variable.
PROBE = "echo nbserver in %OS% $PSHOME"
_CMD = re.compile(rb"nbserver in (?!%OS%)\S+ \$PSHOME")
_POWERSHELL = re.compile(rb"nbserver\s+in\s+%OS%\s+[A-Za-z]:\\")
_UNIX = re.compile(rb"nbserver in %OS%[ \t]*\r?\n")


def shell_of(output: bytes) -> Shell | None:
    """Return the shell that has answered PROBE, or None for another shell or program. Other output may be around the answer."""
    return "cmd" if _CMD.search(output) else "powershell" if _POWERSHELL.search(output) else None


def is_unix(output: bytes) -> bool:
    """Return whether a shell of Unix has answered PROBE, such as bash."""
    return _UNIX.search(output) is not None


def command(shell: Shell, text: str) -> str:
    """Return the line with which the shell runs a text in Windows PowerShell.

    PowerShell as the default shell reads standard input itself, and passes it on.
    """
    options = " ".join([*OPTIONS, base64.b64encode(text.encode("utf-16-le")).decode("ascii")])
    if shell == "cmd":
        return f"{PROGRAM} {options}"
    return f"$input | & {PROGRAM.replace('%SystemRoot%', '$env:SystemRoot')} {options}; exit $LASTEXITCODE"
