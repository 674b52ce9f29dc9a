"""The file of a backup: a ZIP file whose first entry is a manifest with the size and hash of every other entry."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from nbserver.base import atomic_file, file_format
from nbserver.base.errors import UsageError
from nbserver.base.plain_text import clean
from nbserver.notebooks import names, received, tree
from nbserver.notebooks.tree import File

VERSION = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 16_000_000  # bytes
FOLDER = "notebooks/"  # of the entries that a restore copies
_BLOCK = 1 << 20
_NOT_AS_WRITTEN = (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
_UNREADABLE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO)
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
_SHA256 = re.compile("[0-9a-f]{64}")


def write(path: Path, folder: Path, about: Mapping[str, Any]) -> int:
    """Write all files below a folder, of which nobody else can read the archive. Return the number of files.

    The archive is replaced in one step. Raises UsageError.
    """
    files = tree.find(folder).files
    content = {"v": VERSION, **about, "files": {name: {"size": file.size, "sha256": file.sha256} for name, file in files.items()}}
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # with mode 0600
        temporary = Path(name)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:  # the clock may begin at 1970
                archive.writestr(MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")
                for entry in files:
                    archive.write(folder / entry, entry)
            file.flush()
            os.fsync(file.fileno())
        atomic_file.put_into_place(temporary, path)
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return len(files)


def require_backup(path: Path) -> None:
    """Raise UsageError if a file exists that is not a backup: it would be replaced. So does a name that no file can have."""
    try:
        os.lstat(path)
        atomic_file.require_replaceable(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _not_written(path, error) from None
    extract_manifest(path)


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(
        "backup-not-written",
        "could not write the file ({reason})",
        where=clean(str(path), 500),
        todo="Choose another file with -o",
        reason=error.strerror or str(error),
    )


def extract_manifest(path: Path) -> dict[str, File]:
    """Return the files of a backup by their entry. Raises UsageError for a file that is not a backup."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device has no end, and a FIFO waits for a writer
            raise _no_backup(path)
        with zipfile.ZipFile(path) as archive:
            return _files(archive, clean(str(path), 500))
    except _NOT_AS_WRITTEN as error:
        raise _refused(path, error) from None


def extract(path: Path, folder: Path) -> int:
    """Write the notebooks of a backup below a folder, and return their number. Raises UsageError for a file that is not as it was written."""
    files = extract_manifest(path)
    wanted = {entry: file for entry, file in files.items() if entry.startswith(FOLDER)}
    tree.require_within_limits(str(path), len(wanted), sum(file.size for file in wanted.values()))
    for entry in wanted:
        _require_name(path, entry.removeprefix(FOLDER))
    _require_different(path, [entry.removeprefix(FOLDER) for entry in wanted])
    try:
        with zipfile.ZipFile(path) as archive:
            for entry, file in wanted.items():
                place = folder / entry.removeprefix(FOLDER)
                place.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, entry, file, place)
    except _NOT_AS_WRITTEN as error:
        raise _refused(path, error) from None
    return len(wanted)


def read(path: Path, entry: str, limit: int) -> bytes | None:
    """Return an entry of a backup, or None if the backup does not have it.

    Raises UsageError for a file that is not as it was written, or larger than `limit` bytes.
    """
    file = extract_manifest(path).get(entry)
    if file is None:
        return None
    try:
        with zipfile.ZipFile(path) as archive, _opened(archive, archive.getinfo(entry)) as source:
            data = source.read(limit + 1)
    except _NOT_AS_WRITTEN as error:
        raise _refused(path, error) from None
    if len(data) != file.size or len(data) > limit or hashlib.sha256(data).hexdigest() != file.sha256:
        raise _no_backup(path)
    return data


def content_hash(path: Path) -> str:
    """Return the hash of all notebooks of a backup, as a host computes it before it removes them. All of them are read again.

    Raises UsageError for a file that is not as it was written.
    """
    wanted = {entry.removeprefix(FOLDER): file for entry, file in extract_manifest(path).items() if entry.startswith(FOLDER)}
    found = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            for name, file in sorted(wanted.items(), key=lambda item: item[0].encode("utf-8")):
                with _opened(archive, archive.getinfo(FOLDER + name)) as source:
                    _require_same(source, file)
                found.update(f"{file.sha256} {file.size} {name}\0".encode())
    except _NOT_AS_WRITTEN as error:
        raise _refused(path, error) from None
    return found.hexdigest()


def _require_same(source: IO[bytes], file: File) -> None:
    """Read one file, and not more of it than the manifest says. Raises ValueError if it has another hash."""
    sha256, left = hashlib.sha256(), file.size + 1
    while left and (block := source.read(min(_BLOCK, left))):
        sha256.update(block)
        left -= len(block)
    if left != 1 or sha256.hexdigest() != file.sha256:
        raise ValueError("another file")


def _require_name(path: Path, name: str) -> None:
    """Raise UsageError for a name that no backup has, and for one that this workstation cannot have: it could lead to another folder."""
    if names.fault(name, on_windows=False):
        raise _no_backup(path)
    if fault := names.fault(name, on_windows=received.ON_WINDOWS):
        raise UsageError(
            "backup-names-not-on-windows",
            "this workstation cannot store a file from the backup: {fault}",
            where=clean(str(path), 500),
            todo="Restore this backup on a Linux or macOS workstation",
            fault=fault,
        )


def _require_different(path: Path, found: Iterable[str]) -> None:
    """Raise UsageError for names that are the same for this workstation."""
    for fault in names.alike(found)[:1] if received.IGNORES_CASE else ():
        raise UsageError(
            "backup-names-alike",
            "this workstation cannot store a file from the backup: {fault}",
            where=clean(str(path), 500),
            todo="Restore this backup on a Linux workstation",
            fault=fault,
        )


def _copy(archive: zipfile.ZipFile, entry: str, file: File, place: Path) -> None:
    """Write one file. Not more is read than the manifest says. Raises ValueError if it has another hash."""
    sha256, left = hashlib.sha256(), file.size + 1
    with _opened(archive, archive.getinfo(entry)) as source, place.open("xb") as target:
        while left and (block := source.read(min(_BLOCK, left))):
            sha256.update(block)
            target.write(block)
            left -= len(block)
    if left != 1 or sha256.hexdigest() != file.sha256:
        raise ValueError("another file")


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("not written by this release")
    return archive.open(entry)


def _files(archive: zipfile.ZipFile, where: str) -> dict[str, File]:
    about = archive.getinfo(MANIFEST)
    if about.file_size > LARGEST_MANIFEST:
        raise ValueError("too large")
    with _opened(archive, about) as source:
        content = json.loads(source.read(LARGEST_MANIFEST))
    file_format.require_supported(content, VERSION, where, UsageError)
    if content["v"] != VERSION or not isinstance(content["host"], str):
        raise ValueError("not written by this release")
    return {str(entry): _file(facts) for entry, facts in content["files"].items()}


def _file(facts: Any) -> File:
    if type(facts["size"]) is not int or facts["size"] < 0 or not _SHA256.fullmatch(facts["sha256"]):
        raise ValueError("not a file")
    return File(facts["size"], facts["sha256"])


def _refused(path: Path, error: Exception) -> UsageError:
    """Return why a backup cannot be used: it is not as it was written, or the system says why it cannot be read or extracted."""
    if isinstance(error, OSError) and error.errno in _UNREADABLE:
        return UsageError(
            "backup-unreadable",
            "could not read the file ({reason})",
            where=clean(str(path), 500),
            todo="Check that the file exists and that you can read it",
            reason=error.strerror,
        )
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return UsageError(
            "backup-not-extracted",
            "could not extract the backup to a temporary folder ({reason})",
            where=clean(str(path), 500),
            todo="Make sure that the folder for temporary files is writable and has enough free space, then run the command again",
            reason=error.strerror,
        )
    return _no_backup(path)


def _no_backup(path: Path) -> UsageError:
    return UsageError(
        "not-a-backup",
        "the file is not a backup, or was changed after it was written",
        where=clean(str(path), 500),
        todo="Specify an unchanged file that nbserver backup wrote",
    )
