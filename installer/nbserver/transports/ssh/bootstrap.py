"""What runs a script over SSH: the published bootstrap as the command, the script on its standard input. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nbserver.render.step_files import step_folder

FILE_NAME = "bootstrap.sh"
# sudo's prompt: it tells, in any language and without a pseudo-terminal, that sudo wants a password. No % in it: sudo would expand that.
PROMPT = "nbserver asks for the password of sudo: "
READY = b"nbserver ready\n"
STOP = b"nbserver stop\n"


def bootstrap() -> str:
    """The text of linux_scripts/bootstrap.sh, lines ended by a line feed. It holds no single quote."""
    return step_folder("linux_scripts").joinpath(FILE_NAME).read_bytes().decode("ascii").replace("\r\n", "\n")


def command(script: str, *, sudo: bool) -> str:
    """The command line for the user's shell. Without the length and hash of the script it is the same for every host and run.

    sudo speaks English (LC_ALL=C), reads a password from standard input (-S) and passes none on.
    """
    code = script.encode("ascii")
    run = f"bash -c '{bootstrap()}' nbserver {len(code)} {hashlib.sha256(code).hexdigest()}"
    return f"env LC_ALL=C sudo -S -p '{PROMPT}' -- {run}" if sudo else run


def arguments(script: str) -> list[str]:
    """The arguments of bash for the same."""
    code = script.encode("ascii")
    return ["-c", bootstrap(), "nbserver", str(len(code)), hashlib.sha256(code).hexdigest()]


def standard_input(script: str, envelope: Sequence[str]) -> bytes:
    """What the bootstrap reads, once it is ready: the script, the envelope, and that both are complete."""
    lines = [*envelope, "nbserver start"]
    return b"nbserver script\n" + script.encode("ascii") + "".join(f"{line}\n" for line in lines).encode("utf-8")
