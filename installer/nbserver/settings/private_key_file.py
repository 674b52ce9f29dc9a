"""Refuse a private key that other users can read, as OpenSSH does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nbserver.base.errors import SecretError


def require_private(path: Path, *, where: str) -> None:
    """Raise SecretError if other users can access the key in a file, or if its permissions cannot be read."""
    try:
        mode, who = path.stat().st_mode, _others_on_windows(path) if os.name == "nt" else ""
    except OSError as error:
        raise SecretError(
            "key-file-access-unreadable",
            "could not read the permissions of the private key {path}: {reason}",
            where=where,
            todo="Store the key on a local drive with access control, such as NTFS",
            path=path,
            reason=error.strerror or str(error),
        ) from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(
            "key-file-open", "other users can access the private key {path}", where=where, todo="Run: chmod 600 {path}", path=path
        )
    if who:
        raise SecretError(
            "key-file-open-windows",
            "other users can access the private key {path}: {who}",
            where=where,
            todo='Run: icacls "{path}" /inheritance:r /grant:r "{user}:F"',
            path=path,
            who=who,
            user=os.environ.get("USERNAME") or "YOU",
        )


def _others_on_windows(path: Path) -> str:
    from nbserver.settings import windows_access

    return windows_access.everybody_with_access(windows_access.access_of(path).entries)
