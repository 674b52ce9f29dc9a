"""Remove from a bundle what the chosen hosts do not need. Only names that a bundle can have are touched, and no link is followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from nbserver.base import plain_file
from nbserver.base.errors import OutputError
from nbserver.bundle import fetch
from nbserver.bundle.contents import File
from nbserver.bundle.wanted import Packages, Program
from nbserver.catalog import mirror

_FOLDER = re.compile(r"[0-9a-f]{64}")


def needed(files: Sequence[File], programs: Iterable[Program], packages: Iterable[Packages]) -> tuple[File, ...]:
    """Return those of the files of a bundle that hosts with these programs and packages can use."""
    paths = {one.path for sources in programs for one in sources}.union(one.path for kind in packages for one in kind.chosen(files))
    return tuple(one for one in files if one.path in paths)


def prune(bundle: Path, keep: Sequence[File]) -> tuple[str, ...]:
    """Write a list of the files to keep, remove all others, and return their paths in the bundle. Raises OutputError.

    The caller holds the bundle with `fetch.opened`. What is not at a path that a bundle can have is kept, and so is a link.
    """
    surplus = sorted({*_files(bundle)} - {one.path for one in keep})
    try:
        fetch.write(bundle, keep)
        for path in surplus:
            (bundle / path).unlink()
            with suppress(OSError):  # it has another file
                (bundle / path).parent.rmdir()
    except OSError as error:
        raise OutputError(
            "bundle-not-pruned",
            "could not remove files from the bundle ({reason})",
            where=plain_file.shown(bundle),
            todo="Make the folder writable, then run the command again",
            reason=error.strerror or type(error).__name__,
        ) from None
    return tuple(surplus)


def _files(bundle: Path) -> Iterator[str]:
    """Yield the paths of all regular files that are where a bundle has its files, whether the list names them or not."""
    for folder in sorted(plain_file.names(bundle / mirror.FILES)):
        place = bundle / mirror.FILES / folder
        if _FOLDER.fullmatch(folder) and _is(place, stat.S_ISDIR):
            for name in sorted(plain_file.names(place)):
                if mirror.FILE_NAME.fullmatch(name) and _is(place / name, stat.S_ISREG):
                    yield mirror.path_of(folder, name)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    found = os.lstat(path)
    return not plain_file.is_link(found) and kind(found.st_mode)
