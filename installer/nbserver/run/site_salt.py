"""nbserver.salt, next to the inventory: the salt of the site's password hashes.

It is random, so that no precomputed table of hashes works for two sites. It is saved, so that a second run computes the
same hash and finds nothing to change. It is not secret; keep it in version control with the inventory.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
from pathlib import Path

from nbserver.base import atomic_file, file_lock
from nbserver.base.errors import UsageError
from nbserver.base.existing import exists
from nbserver.run.notebook_password import SALT_BYTES

FILE_NAME = "nbserver.salt"
LONGEST = 4096  # bytes
LOCK_SECONDS = 60.0

_HEAD = """\
# The salt of this site's notebook password hashes (nbserver). It is not secret. Keep it in version control, next to
# the inventory: with another salt every hash changes, and every notebook server has to restart.
"""
_LINE = re.compile(r"nbserver-salt-1 ([A-Za-z0-9+/]{22}==)")
_RESTORE = "Restore the salt file from version control"
_READABLE = "Make the salt file readable for this user, or restore it from version control"


def of_site(folder: Path, named: Path | None, *, create: bool) -> bytes:
    """Return the salt in the file `named`, which must exist, or else in the folder of the inventory.

    Without `create`, a missing file is not created, and each call returns a new salt. Raises UsageError.
    """
    if named is not None:
        return read(named)
    path = folder / FILE_NAME
    if create:
        return ensure(path)
    return read(path) if os.path.lexists(path) else secrets.token_bytes(SALT_BYTES)


def encoded(salt: bytes) -> str:
    """Return the salt as written in a hash (PHC string format): Base64 without padding."""
    return base64.b64encode(salt).decode("ascii").rstrip("=")


def read(path: Path) -> bytes:
    """Return the salt in the file. Raises UsageError if the file is missing or, apart from comments, not exactly what `ensure` writes."""
    try:
        # Opened without waiting for a writer, so a named pipe cannot hold up an unattended run.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UsageError(
            "salt-unreadable", "could not read the salt file: {reason}", where=str(path), todo=_READABLE, reason=error.strerror
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError("salt-not-regular", "the salt file is not a regular file", where=str(path), todo=_RESTORE)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise UsageError(
            "salt-unreadable", "could not read the salt file: {reason}", where=str(path), todo=_READABLE, reason=error.strerror
        ) from None
    finally:
        os.close(handle)
    if len(content) > LONGEST:
        raise UsageError("salt-too-long", "the salt file is larger than {limit} bytes", where=str(path), todo=_RESTORE, limit=LONGEST)
    lines = [line.removesuffix("\r") for line in content.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace").split("\n")]
    found = [line for line in lines if line and not line.startswith("#")]
    match = _LINE.fullmatch(found[0]) if len(found) == 1 else None
    try:
        salt = base64.b64decode(match.group(1), validate=True) if match else b""
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES or not match or base64.b64encode(salt).decode("ascii") != match.group(1):
        raise UsageError(
            "salt-invalid",
            'the salt file is not valid: it must contain one line with "nbserver-salt-1", a space, and 16 bytes in Base64',
            where=str(path),
            todo=_RESTORE,
        )
    return salt


def ensure(path: Path) -> bytes:
    """Return the salt in the file, and create the file if it is missing. An existing file is never written. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.locked(path, LOCK_SECONDS):
            if not os.path.lexists(path):
                text = f"{_HEAD}nbserver-salt-1 {base64.b64encode(secrets.token_bytes(SALT_BYTES)).decode('ascii')}\n"
                atomic_file.write_text(path, text)
    except TimeoutError:
        raise UsageError(
            "salt-locked",
            "the salt file is locked by another process",
            where=str(path),
            todo="Wait for the other nbserver process to finish, then try again",
        ) from None
    except OSError as error:
        if not exists(path):  # an existing file can be read in a read-only folder
            raise UsageError(
                "salt-not-created",
                "could not create the salt file: {reason}",
                where=str(path),
                todo="Make the folder writable for the first apply, or specify an existing salt file with --salt",
                reason=error.strerror,
            ) from None
    return read(path)
