"""Fetch the files of a bundle, a few at once, and write its list when all of them are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nbserver import __version__
from nbserver.base import atomic_file, file_lock, plain_file
from nbserver.base.errors import NbserverError, OutputError
from nbserver.bundle import check, contents
from nbserver.bundle.contents import File
from nbserver.bundle.download import FileDownload, Stopped
from nbserver.catalog import mirror

AT_ONCE = 4
_OTHER_PROCESS_SECONDS = 5.0


@dataclass(frozen=True)
class Fetched:
    """The files of the bundle, which of them were downloaded now, and what could not be."""

    files: tuple[File, ...]
    downloaded: tuple[File, ...]
    errors: tuple[NbserverError, ...] = ()


@contextmanager
def opened(bundle: Path) -> Iterator[None]:
    """Create the folder of a bundle, and keep other processes from writing to it. Raises OutputError and ApprovalError."""
    try:
        for folder in (bundle, bundle / mirror.FILES, bundle / contents.PARTIAL):
            folder.mkdir(parents=True, exist_ok=True)
            plain_file.names(folder)  # refuses a link
        with file_lock.locked(bundle / contents.FILE_NAME, _OTHER_PROCESS_SECONDS):
            yield
    except TimeoutError:
        raise OutputError(
            "bundle-in-use",
            "another nbserver process is writing to this bundle",
            where=plain_file.shown(bundle),
            todo="Wait until it has finished, then run the command again",
        ) from None
    except OSError as error:
        raise OutputError(
            "bundle-not-written",
            "could not write to the bundle ({reason})",
            where=plain_file.shown(bundle),
            todo="Free some disk space, or make the folder writable, then run the command again; it continues where it stopped",
            reason=error.strerror or type(error).__name__,
        ) from None


def present(bundle: Path) -> tuple[File, ...]:
    """Return the files that are listed and there, complete and unchanged. Raises ApprovalError if the list is not valid."""
    if not os.path.lexists(bundle / contents.FILE_NAME):
        return ()
    return tuple(one for one in contents.read(bundle) if check.has(bundle, one))


def fetch(bundle: Path, wanted: Iterable[File], there: Sequence[File], download: FileDownload) -> Fetched:
    """Download what is not there yet. The list of the bundle is only written if nothing is lacking.

    Waits for all files also if some fail, but not after Ctrl-C or if the disk is full. Raises OutputError.
    """
    known = {one.path: one for one in there}
    lacking = {one.path: one for one in wanted if one.path not in known}
    found = {path: one for path, one in lacking.items() if check.has(bundle, one)}  # of an interrupted run
    sizes = {path: (bundle / path).stat().st_size for path in found}
    errors = list[NbserverError]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(download, one): one for path, one in sorted(lacking.items()) if path not in found}
        try:
            _wait(running, download)
        except BaseException:
            download.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        for future, one in running.items():
            error = None if future.cancelled() else future.exception()
            if isinstance(error, NbserverError):
                errors.append(error)
            elif not future.cancelled() and not isinstance(error, Stopped):
                sizes[one.path] = future.result()
    new = tuple(replace(one, size=sizes[path]) for path, one in lacking.items() if path in sizes)
    every = (*there, *new)
    if not errors:
        write(bundle, every)
        shutil.rmtree(bundle / contents.PARTIAL)
    return Fetched(every, tuple(one for one in new if one.path not in found), tuple(errors))


def _wait(running: dict[Future[int], File], download: FileDownload) -> None:
    """Wait for all downloads. If the disk is full, the others cannot succeed either."""
    pending: set[Future[int]] = {*running}
    while pending:
        done, pending = wait(pending, return_when=FIRST_EXCEPTION)
        if any(isinstance(one.exception(), OutputError) for one in done if not one.cancelled()):
            download.stop.set()
            for one in pending:
                one.cancel()


def write(bundle: Path, files: Sequence[File]) -> None:
    """Write the list of a bundle, and the page of its wheels. All files are there. Raises OSError."""
    atomic_file.write_text(bundle / mirror.PAGE, contents.page(files))
    atomic_file.write_text(bundle / contents.FILE_NAME, contents.to_text(files, __version__))
