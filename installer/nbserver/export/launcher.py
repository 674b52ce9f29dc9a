"""One file that another tool runs: the fixed launcher, and after it the packed script of a host with its hash. Without side effects."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache

from nbserver.base.errors import UsageError
from nbserver.render.bash import literal
from nbserver.render.script import Script
from nbserver.render.step_files import step_folder

_FILES = {"ps1": ("ps_scripts", "launcher.ps1"), "sh": ("linux_scripts", "launcher.sh")}
_WIDTH = 100  # characters per line of Base64


@cache
def launcher(extension: str) -> str:
    """Return the text of the launcher for scripts with this extension, `ps1` or `sh`, with LF line ends."""
    kind, name = _FILES[extension]
    return step_folder(kind).joinpath(name).read_bytes().decode("ascii").replace("\r\n", "\n")


def launcher_sha256(extension: str) -> str:
    """Return the SHA-256 of the launcher, 64 lower-case hex digits."""
    return hashlib.sha256(launcher(extension).encode("ascii")).hexdigest()


def packed(code: bytes) -> str:
    """Return the bytes in gzip (without a time or a name) and Base64, in lines."""
    text = base64.b64encode(gzip.compress(code, mtime=0)).decode("ascii")
    return "".join(f"{text[at : at + _WIDTH]}\n" for at in range(0, len(text), _WIDTH))


def windows(script: Script, *, mode: str, hash_file: str = "", log: str = "") -> bytes:
    """Return the launcher with the script of a Windows host, in ASCII with LF line ends.

    `mode` applies unless the tool passes another one. In mode apply, the launcher reads the password hash from `hash_file` on the
    host unless the tool passes one. Events go to the file `log` if it is set. Variables such as %ProgramData% in both are
    expanded on the host. Raises UsageError for a path that is not ASCII.
    """
    head = f"Start-Packed '{mode}' '{script.sha256}' {_quoted(hash_file)} {_quoted(log)} @'\n"
    return (launcher("ps1") + head + packed(script.code) + "'@\n").encode("ascii")


def linux(script: Script, *, mode: str, hash_command: str = "") -> bytes:
    """Return the launcher with the script of a Linux host, in ASCII with LF line ends.

    `mode` applies unless the tool passes another one. In mode apply, the launcher runs `hash_command` in bash, which prints the
    password hash, unless the tool passes one.
    """
    call = _call(script, mode, hash_command)
    return (f"{launcher('sh')}{call} <<'END'\n{packed(script.code)}END\n").encode("ascii")


def linux_from(script: Script, fetch: str, *, mode: str, hash_command: str = "") -> bytes:
    """Return the launcher with a command of bash that prints the packed script, in place of the script. Otherwise as `linux`."""
    return f"{launcher('sh')}{fetch} | {_call(script, mode, hash_command)}\n".encode("ascii")


def _call(script: Script, mode: str, hash_command: str) -> str:
    command = f" {literal(hash_command, 'hash_command')}" if hash_command else ""
    return f"launch {mode} {script.sha256}{command}"


def _quoted(path: str) -> str:
    """Return a PowerShell literal in which nothing is expanded."""
    if any(not " " <= character <= "~" for character in path):
        raise UsageError(
            "export-path-not-ascii",
            "--hash-file and --log-file accept only printable ASCII characters",
            todo="Choose a path without accented or other non-ASCII characters",
        )
    return "'" + path.replace("'", "''") + "'"
