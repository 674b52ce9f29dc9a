"""Compare a bundle with its list: every file is there, has its hash, and nothing else is there."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nbserver.approval import signed_approvals
from nbserver.approval.manifest import APPROVALS
from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Lines, Message, message
from nbserver.base.plain_text import clean
from nbserver.bundle import contents
from nbserver.bundle.contents import File, FileList
from nbserver.catalog import mirror

_BLOCK = 1024 * 1024


def findings(bundle: Path, shown: Callable[[File], object] = lambda file: None) -> list[Message]:
    """Return what is wrong with a bundle: one message per file, none if all is well. Raises ApprovalError if it has no valid list.

    `shown` is called for each file before it is read.
    """
    return _findings(bundle, contents.read(bundle), shown)


def require(bundle: Path) -> FileList:
    """Return the list of a bundle that is as listed. Raises ApprovalError with all that is wrong."""
    listed = contents.read_list(bundle)
    wrong = _findings(bundle, listed.files)
    if wrong:
        raise ApprovalError(
            "bundle-differs",
            "the bundle does not match its list of files: {findings}",
            where=plain_file.shown(bundle),
            todo="Run nbserver download again, or copy the bundle again",
            findings=Lines(wrong, "; "),
        )
    return listed


def _findings(bundle: Path, files: Sequence[File], shown: Callable[[File], object] = lambda file: None) -> list[Message]:
    listed = {one.path: one for one in files} | dict.fromkeys((contents.FILE_NAME, mirror.PAGE))
    folders = {folder for path in listed for folder in _folders(path)}
    present, wrong = _walk(bundle, {*listed, *folders, *_approvals(bundle)})
    for path, one in listed.items():
        if path not in present:
            wrong.append(message("bundle-file-missing", "{file} is missing", file=path))
        elif one is not None:
            shown(one)
            if reason := fault(bundle / path, one):
                wrong.append(reason)
    if mirror.PAGE in present:
        expected = contents.page(files).encode()
        if _digest(bundle / mirror.PAGE) != (len(expected), hashlib.sha256(expected).hexdigest()):
            wrong.append(
                message("bundle-page-differs", "{file} does not list the same wheels as {list}", file=mirror.PAGE, list=contents.FILE_NAME)
            )
    return wrong


def fault(path: Path, file: File) -> Message | None:
    """Return what is wrong with a file that is in the bundle, or None."""
    try:
        size, digest = _digest(path)
    except OSError as error:
        return message("bundle-file-unreadable", "{file} could not be read ({reason})", file=file.path, reason=error.strerror)
    if file.size is not None and size != file.size:
        return message(
            "bundle-file-size", "{file} is {actual} bytes long, expected {expected}", file=file.path, actual=size, expected=file.size
        )
    if digest != file.sha256:
        return message(
            "bundle-file-hash", "{file} has SHA-256 {actual}, expected {expected}", file=file.path, actual=digest, expected=file.sha256
        )
    return None


def has(bundle: Path, file: File) -> bool:
    """Return whether the bundle has this file, complete and unchanged, and not behind a link."""
    return is_complete(bundle / file.path, file)


def is_complete(path: Path, file: File) -> bool:
    """Return whether the path is this file, unchanged, and neither a link nor in a folder that is one."""
    try:
        if plain_file.is_link(os.lstat(path.parent)):
            return False
        return stat.S_ISREG(os.lstat(path).st_mode) and fault(path, file) is None
    except OSError:
        return False


def _digest(path: Path) -> tuple[int, str]:
    """Return the size and the SHA-256 of a regular file. Raises OSError, also for a link."""
    found, size = hashlib.sha256(), 0
    with plain_file.opened(path) as file:
        while block := file.read(_BLOCK):
            found.update(block)
            size += len(block)
    return size, found.hexdigest()


def _folders(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _approvals(bundle: Path) -> Iterator[str]:
    """Yield the paths of the signed approvals, which are not part of the list, and of their folder."""
    place = bundle / APPROVALS
    if os.path.lexists(place) and stat.S_ISDIR(os.lstat(place).st_mode):
        yield APPROVALS
        yield from (f"{APPROVALS}/{name}" for name in plain_file.names(place) if signed_approvals.is_name(name))


def _is_of_a_download(path: str, found: os.stat_result) -> bool:
    """Return whether this belongs to a download that is not complete. Nothing of it is used before it is compared with its hash."""
    return (path == contents.PARTIAL and stat.S_ISDIR(found.st_mode)) or (path == contents.LOCK and stat.S_ISREG(found.st_mode))


def _walk(bundle: Path, expected: set[str]) -> tuple[set[str], list[Message]]:
    """Return the paths of the regular files of a bundle, and a message for everything that must not be there."""
    present, wrong = set[str](), list[Message]()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        alike = defaultdict(list)
        for name in sorted(plain_file.names(bundle / folder)):
            path = f"{folder}/{name}" if folder else name
            found = os.lstat(bundle / path)
            alike[name.lower()].append(path)
            if plain_file.is_link(found):
                wrong.append(
                    message("bundle-link", "{file} is a link, but a bundle must contain only regular files", file=clean(path, 300))
                )
            elif not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                wrong.append(message("bundle-not-a-file", "{file} is not a regular file", file=clean(path, 300)))
            elif _is_of_a_download(path, found):
                continue
            elif path not in expected:
                wrong.append(message("bundle-file-extra", "{file} is not part of the bundle", file=clean(path, 300)))
            elif stat.S_ISDIR(found.st_mode):
                waiting.append(path)
            else:
                present.add(path)
        wrong += [
            message("bundle-names-alike", "the names {files} differ only in case", files=clean(", ".join(paths), 600))
            for paths in alike.values()
            if len(paths) > 1
        ]
    return present, wrong
