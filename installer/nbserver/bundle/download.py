"""Download one file: resumed, tried again, limited, and kept only if it has the hash that the script names."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import urllib3

from nbserver.base import plain_file
from nbserver.base.errors import DownloadError, OutputError
from nbserver.bundle import contents, source
from nbserver.bundle.source import AGAIN, CHECK, FromTheBeginning, Source

if TYPE_CHECKING:
    from typing import Self

    from nbserver.bundle.contents import File
    from nbserver.bundle.progress import Progress

_SLOWEST, _WINDOW_SECONDS = 1024, 60.0  # bytes per second on average over the window
_BLOCK = 256 * 1024


class Stopped(Exception):
    """The person pressed Ctrl-C."""


class FileDownload:
    """Downloads files for a bundle, from several threads at once.

    `ca_files` have CA certificates in PEM to trust in addition to the system's; raises UsageError for one without. `logins` are the user
    and password, as in a URL, of each origin that needs one. `pauses` are the seconds before each further attempt.
    """

    def __init__(
        self,
        bundle: Path,
        ca_files: Sequence[Path],
        progress: Progress,
        *,
        logins: dict[str, str] | None = None,
        pauses: tuple[float, ...] = (1.0, 3.0, 9.0),
    ) -> None:
        self._bundle, self._progress, self._pauses = bundle, progress, pauses
        self._source = Source(ca_files, logins or {})
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open = set[requests.Response]()  # guarded by _lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()

    def stop(self) -> None:
        """End all downloads at once, also those that wait for a server: each of them raises Stopped. What has arrived is kept."""
        self._stop.set()
        with self._lock:
            for response in self._open:
                with suppress(OSError, ValueError, RuntimeError):  # the connection is closed, or returned
                    response.raw.shutdown()

    def __call__(self, file: File) -> int:
        """Download a file into the folder of unfinished downloads, and return its size.

        Raises DownloadError, OutputError, Stopped, and ApprovalError for a link.
        """
        self._progress.began(file)
        stored = False
        try:
            size = self._stored(file)
            stored = True
        except OSError as error:
            raise OutputError(
                "bundle-not-written",
                "could not write to the bundle ({reason})",
                where=str(self._bundle),
                todo="Free some disk space, or make the folder writable, then run the command again; it continues where it stopped",
                reason=error.strerror or type(error).__name__,
            ) from None
        finally:
            self._progress.ended(file, stored=stored)
        return size

    def _stored(self, file: File) -> int:
        partial = contents.partial(self._bundle, file)
        folder = (self._bundle / file.path).parent
        if os.path.lexists(folder):
            plain_file.names(folder)  # refuses a link
        if os.path.lexists(partial) and not stat.S_ISREG(os.lstat(partial).st_mode):
            partial.unlink()
        attempts = iter(self._pauses)
        resumes = True
        while True:
            try:
                self._fetch(file, partial, resumes=resumes)
                break
            except FromTheBeginning:
                partial.unlink(missing_ok=True)
                resumes = False
            except DownloadError as error:
                if self._stop.is_set():
                    raise Stopped from None
                pause = next(attempts, None) if source.may_pass(error) else None
                if pause is None:
                    raise
                resumes = True
                self._progress.waits(file, error.what, pause)
                if self._stop.wait(pause):
                    raise Stopped from None
        return partial.stat().st_size

    def _fetch(self, file: File, partial: Path, *, resumes: bool) -> None:
        """Complete the partial file, and compare its hash. Raises FromTheBeginning at most if it `resumes`."""
        begin = _size(partial) if resumes else 0
        if begin > (file.size or contents.LARGEST):
            raise FromTheBeginning
        if begin == 0 or begin != file.size:
            try:
                self._receive(file, partial, begin)
            except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
                raise source.explained(error, file.url) from None
        digest = hashlib.sha256()
        with partial.open("rb") as found:
            start = found.read(512)
            digest.update(start)
            while block := found.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() == file.sha256:
            return
        partial.unlink()
        if begin:
            raise FromTheBeginning
        if re.match(rb"\s*(<!doctype|<html|<\?xml)", start, re.IGNORECASE):
            raise source.is_page(file.url)
        raise DownloadError(
            "download-other-hash",
            "the file has SHA-256 {actual}, expected {expected}; nbserver discarded it",
            where=file.url,
            todo=CHECK,
            actual=digest.hexdigest(),
            expected=file.sha256,
        )

    def _receive(self, file: File, partial: Path, begin: int) -> None:
        with self._source.ask(file.url, begin, self._stop) as response, self._stoppable(response):
            begin = source.begin_of(response, file, begin)
            total = source.total_of(response, file, begin)
            if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
                raise source.is_page(file.url)
            with partial.open("ab" if begin else "wb") as out:
                out.truncate(begin)
                size = begin
                for chunk in self._chunks(response, file.url):
                    size += len(chunk)
                    if size > (total or file.size or contents.LARGEST):
                        out.truncate(0)
                        raise source.too_large(file.url, total or file.size or contents.LARGEST)
                    out.write(chunk)
                    self._progress.received(file, size, total or file.size)
                out.flush()
                os.fsync(out.fileno())
        if total is not None and size < total:
            raise DownloadError(
                "download-truncated",
                "the connection was lost after {done} of {total} bytes",
                where=file.url,
                todo=AGAIN,
                done=size,
                total=total,
            )

    @contextmanager
    def _stoppable(self, response: requests.Response) -> Iterator[None]:
        """Let `stop` end the body of the response. Raises Stopped if it is too late."""
        with self._lock:
            self._open.add(response)
        try:
            if self._stop.is_set():
                raise Stopped
            yield
        finally:
            with self._lock:
                self._open.discard(response)

    def _chunks(self, response: requests.Response, url: str) -> Iterator[bytes]:
        """Yield what arrives. Raises Stopped, and DownloadError for a server that sends next to nothing."""
        since, received = time.monotonic(), 0
        # What has arrived: a whole block may never be complete.
        while chunk := response.raw.read1(_BLOCK, decode_content=False):
            if self._stop.is_set():
                break
            yield chunk
            received += len(chunk)
            if time.monotonic() - since > _WINDOW_SECONDS:
                if received < _SLOWEST * _WINDOW_SECONDS:
                    raise DownloadError(
                        "download-slow", "the server sent only {size} bytes in a minute", where=url, todo=AGAIN, size=received
                    )
                since, received = time.monotonic(), 0
        if self._stop.is_set():
            raise Stopped


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
