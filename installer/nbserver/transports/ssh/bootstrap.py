"""Run a script over SSH: the published bootstrap is the command and reads the script from standard input. Without side effects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nbserver.render.step_files import step_folder
from nbserver.transports.payload import NOTHING, Payload

FILE_NAME = "bootstrap.sh"
# sudo's prompt. It shows, in any language and without a pseudo-terminal, that sudo asks for a password. sudo would expand a %.
PROMPT = "nbserver asks for the password of sudo: "
READY = b"nbserver ready in bash\n"  # nothing else prints this line: neither another shell that runs the text, nor one that shows it
STOP = b"nbserver stop\n"


def bootstrap() -> str:
    """Return the text of linux_scripts/bootstrap.sh with LF line ends. It contains no single quote."""
    return step_folder("linux_scripts").joinpath(FILE_NAME).read_bytes().decode("ascii").replace("\r\n", "\n")


def command(script: str, *, sudo: bool) -> str:
    """Return the command line for the user's shell. Only the length and hash of the script vary between hosts and runs.

    sudo prints English messages (LC_ALL=C), and reads the password from standard input (-S) without passing it on.
    """
    code = script.encode("ascii")
    run = f"bash -p -c '{bootstrap()}' nbserver {len(code)} {hashlib.sha256(code).hexdigest()}"
    return f"env LC_ALL=C sudo -S -p '{PROMPT}' -- {run}" if sudo else run


def arguments(script: str) -> list[str]:
    """Return the arguments of bash that run the same command without a shell."""
    code = script.encode("ascii")
    return ["-p", "-c", bootstrap(), "nbserver", str(len(code)), hashlib.sha256(code).hexdigest()]


def standard_input(script: str, envelope: Sequence[str], data: Payload = NOTHING) -> bytes:
    """Return the input of the bootstrap once it is ready: the script, the envelope, and a line that marks both as complete. The data follows."""
    how = "stream" if data.is_streamed else "data"
    lines = [*envelope, *([f"nbserver {how} {data.size}"] if data.size else []), "nbserver start"]
    return b"nbserver script\n" + script.encode("ascii") + "".join(f"{line}\n" for line in lines).encode("utf-8")
