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
from nbserver.base.errors import DownloadError, NbserverError, OutputError
from nbserver.base.message import Message, notice
from nbserver.bundle import check, contents
from nbserver.bundle.contents import File
from nbserver.bundle.download import FileDownload, Stopped
from nbserver.bundle.wanted import Program
from nbserver.catalog import mirror

AT_ONCE = 4
_OTHER_PROCESS_SECONDS = 5.0
_PAUSE = 0.2  # seconds: on Windows, a long wait cannot be interrupted with Ctrl-C


@dataclass(frozen=True)
class Fetched:
    """The files of the bundle, which of them were downloaded now, and what could not be.

    `warnings` say which programs came from another source than their first one, and why.
    """

    files: tuple[File, ...]
    downloaded: tuple[File, ...]
    errors: tuple[NbserverError, ...] = ()
    warnings: tuple[Message, ...] = ()


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


def fetch(bundle: Path, wanted: Iterable[Program], there: Sequence[File], download: FileDownload) -> Fetched:
    """Download what is not there yet, from the first source that has it. The bundle stays as it is unless nothing is lacking.

    Waits for all files also if some fail, but not after Ctrl-C or if the disk is full. Raises OutputError.
    """
    known = {one.path: one for one in there}
    lacking = {sources[0].path: sources for sources in wanted if not any(one.path in known for one in sources)}
    found = {path: (one, place) for path, sources in lacking.items() for one in sources[::-1] if (place := _left(bundle, one))}
    new = [replace(one, size=place.stat().st_size) for one, place in found.values()]
    downloaded, errors, warnings = list[File](), list[NbserverError](), list[Message]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = set[Future[File]]()
        try:
            running |= {pool.submit(_first, sources, download, warnings) for path, sources in sorted(lacking.items()) if path not in found}
            _wait(running, download)
        except BaseException:
            download.stop()
            pool.shutdown(cancel_futures=True)
            raise
        for future in running:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, NbserverError):
                errors.append(error)
            elif not future.cancelled() and not isinstance(error, Stopped):
                downloaded.append(future.result())
    every = (*there, *new, *downloaded)
    if not errors:
        for one in (*(one for one, place in found.values() if place != bundle / one.path), *downloaded):
            _put(bundle, one)
        write(bundle, every)
        shutil.rmtree(bundle / contents.PARTIAL, ignore_errors=True)  # on Windows, another program can have it open
    return Fetched(every, tuple(downloaded), tuple(errors), tuple(warnings))


def _left(bundle: Path, file: File) -> Path | None:
    """Return where an interrupted run has left a file that is complete, or None."""
    places = (bundle / file.path, contents.partial(bundle, file))
    return next((place for place in places if check.is_complete(place, file)), None)


def _put(bundle: Path, file: File) -> None:
    """Move a complete file to its place. Raises OSError, and ApprovalError for a link."""
    target = bundle / file.path
    target.parent.mkdir(exist_ok=True)
    plain_file.names(target.parent)  # refuses a link
    atomic_file.put_into_place(contents.partial(bundle, file), target)


def _first(sources: Program, download: FileDownload, warnings: list[Message]) -> File:
    """Download a file from the first source that has it, and return it with its size. Raises the error of the last source."""
    *others, last = sources
    for one, following in zip(others, sources[1:], strict=True):
        try:
            return replace(one, size=download(one))
        except DownloadError as error:
            warnings.append(
                notice(
                    "bundle-next-source",
                    "could not download {program} {version} from {url} ({reason}). Trying the next source, {other} (SHA-256 {sha256})",
                    program=one.name,
                    version=one.version,
                    url=one.url,
                    reason=Message(error.code, error.template, error.values),
                    other=following.url,
                    sha256=following.sha256,
                )
            )
    return replace(last, size=download(last))


def _wait(running: set[Future[File]], download: FileDownload) -> None:
    """Wait for all downloads. If the disk is full, the others cannot succeed either."""
    pending = {*running}
    while pending:
        done, pending = wait(pending, _PAUSE, return_when=FIRST_EXCEPTION)
        if any(isinstance(one.exception(), OutputError) for one in done if not one.cancelled()):
            download.stop()
            for one in pending:
                one.cancel()


def write(bundle: Path, files: Sequence[File]) -> None:
    """Write the list of a bundle, and the page of its wheels. All files are there. Raises OSError."""
    atomic_file.write_text(bundle / mirror.PAGE, contents.page(files))
    atomic_file.write_text(bundle / contents.FILE_NAME, contents.to_text(files, __version__))
