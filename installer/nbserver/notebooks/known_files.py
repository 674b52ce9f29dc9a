"""The files as they were when they were last copied to or from a host: a hidden file for each host, in the folder that was copied."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nbserver.base import atomic_file, file_format, plain_file
from nbserver.base.errors import UsageError
from nbserver.base.existing import exists
from nbserver.base.message import message

VERSION = 1
FOLDER = ".nbserver"
LARGEST = 16_000_000  # bytes
_SHA256 = re.compile("[0-9a-f]{64}")
_ADVICE = message(
    "known-files-advice", "Remove this file. nbserver then treats every file that differs between the host and this folder as a conflict"
)


def read(folder: Path, host: str) -> dict[str, str]:
    """Return the SHA-256 of each file by its path. Raises UsageError for a file that nbserver did not write."""
    path = _path(folder, host)
    with suppress(PermissionError):  # which says why when the file is read
        if not exists(path):
            return {}
    try:
        value = json.loads(plain_file.read(path, LARGEST, advice=_ADVICE))
        file_format.require_supported(value, VERSION, plain_file.shown(path), UsageError)
        files = value["files"]
        if value["v"] != VERSION or not all(isinstance(sha256, str) and _SHA256.fullmatch(sha256) for sha256 in files.values()):
            raise ValueError("not written by this release")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(
            "known-files-invalid",
            "the file is not in the format that nbserver writes",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=_ADVICE,
        ) from None
    return dict(files)


def write(folder: Path, host: str, files: Mapping[str, str]) -> None:
    """Replace the file. Raises UsageError."""
    path = _path(folder, host)
    data = json.dumps({"v": VERSION, "host": host, "files": dict(sorted(files.items()))}, indent=1) + "\n"
    try:
        if not path.parent.is_symlink():
            path.parent.mkdir(exist_ok=True)
        atomic_file.write_text(path, data)
    except OSError as error:
        raise UsageError(
            "known-files-not-written",
            "could not write the file ({reason})",
            where=str(path),
            todo="Make the folder writable",
            reason=error.strerror,
        ) from None


def _path(folder: Path, host: str) -> Path:
    return folder / FOLDER / f"{host}.json"
