"""The certificates that the browsers of this user trust: on Linux the NSS database of Chromium, on Windows the user's store."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbserver.base import user_folders
from nbserver.base.errors import HostError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.base.plain_text import clean

NICKNAME = "nbserver"  # in the NSS database; nbserver replaces and removes only this entry
SECONDS = 600  # Windows asks the user in a window
NOT_FOUND = 0x80090011  # exit code of certutil.exe: NTE_NOT_FOUND


@dataclass(frozen=True)
class TrustStore:
    """The store of one user. `program` is certutil, which is a different program on Windows and on Linux."""

    program: str
    platform: str = sys.platform

    def add_commands(self, certificate: Path) -> list[list[str]]:
        """Return the commands that add a certificate."""
        if self.platform == "win32":
            return [[self.program, "-user", "-f", "-addstore", "Root", str(certificate)]]
        create = [] if exists(_database() / "cert9.db") else [[self.program, "-d", _name(), "-N", "--empty-password"]]
        return [*create, [self.program, "-d", _name(), "-A", "-t", "P,,", "-n", NICKNAME, "-i", str(certificate)]]

    def remove_command(self, sha1: str) -> list[str]:
        """Return the command that removes the certificate that was added. `sha1` names it in the store of Windows."""
        if self.platform == "win32":
            return [self.program, "-user", "-delstore", "Root", sha1]
        return [self.program, "-d", _name(), "-D", "-n", NICKNAME]

    def list_command(self, sha1: str) -> list[str]:
        """Return the command that lists the certificate on Windows, and all certificates on Linux."""
        if self.platform == "win32":
            return [self.program, "-user", "-store", "Root", sha1]
        return [self.program, "-d", _name(), "-L"]

    def add(self, certificate: Path) -> None:
        """Add a certificate. Raises HostError."""
        try:
            if self.platform != "win32":
                _database().mkdir(0o700, parents=True, exist_ok=True)
            commands = self.add_commands(certificate)
        except OSError as error:
            raise _failed("nbserver", str(error)) from None
        for command in commands:
            _run(command)

    def remove(self, sha1: str) -> None:
        """Remove the certificate that was added, if it is still in the store. Raises HostError."""
        try:
            _run(self.remove_command(sha1))
        except HostError:
            if not self._is_gone(sha1):
                raise

    def _is_gone(self, sha1: str) -> bool:
        """Return whether the certificate is not in the store. If that cannot be found out, it counts as still there."""
        try:
            if self.platform != "win32" and not exists(_database() / "cert9.db"):
                return True
        except OSError:
            return False
        code, output = _output(self.list_command(sha1))
        if self.platform == "win32":
            return code & 0xFFFFFFFF == NOT_FOUND
        is_list = code == 0 and "Certificate Nickname" in output  # and not a warning
        return is_list and not any(line.rpartition(" ")[0].rstrip() == NICKNAME for line in output.splitlines())


def of_this_user(platform: str = sys.platform) -> TrustStore:
    """Return the store. Raises UsageError if the program for it is missing."""
    if platform == "win32":
        return TrustStore(str(Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "certutil.exe")), platform)
    program = shutil.which("certutil")
    if program is None:
        raise UsageError(
            "certutil-missing",
            "--trust requires certutil, which is not installed",
            todo="Install libnss3-tools (on openSUSE and SLES: mozilla-nss-tools), or run the command without --trust",
        )
    return TrustStore(program, platform)


def sha1_of(der: bytes) -> str:
    """Return the hash by which the store of Windows names a certificate."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _database() -> Path:
    return user_folders.home() / ".pki" / "nssdb"


def _name() -> str:
    return f"sql:{_database()}"


def _output(command: Sequence[str]) -> tuple[int, str]:
    """Return the exit code, and the error output or else the output. The code is -1 if the program did not run to its end."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, getattr(error, "strerror", None) or type(error).__name__
    return done.returncode, (done.stderr or done.stdout).decode("utf-8", "replace")


def _run(command: Sequence[str]) -> None:
    code, output = _output(command)
    if code:
        raise _failed(Path(command[0]).name, output)


def _failed(program: str, reason: str) -> HostError:
    return HostError(
        "trust-store-failed",
        "{program} could not change the certificates that your browsers trust: {reason}",
        host="local",
        todo="Correct the cause, then run the command again, or run it without --trust",
        program=program,
        reason=clean(reason, 500) or message("no-error-output", "no error output"),
    )
