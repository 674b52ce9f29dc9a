"""A disk that fills at each stage of a download: one message, nothing corrupt is left, and a later run continues."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbserver.base.errors import NbserverError, OutputError
from nbserver.bundle import check, contents, fetch
from nbserver.bundle.contents import File
from nbserver.bundle.download import FileDownload
from nbserver.bundle.progress import Silent
from tests.unit.bundle.bundle_server import served

ENOUGH = "size=8m,nr_inodes=1000"


@contextmanager
def disk(folder: Path, limits: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", limits, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def errors(bundle: Path, files: list[File]) -> list[NbserverError]:
    try:
        with fetch.opened(bundle), FileDownload(bundle, (), Silent(), pauses=()) as one:
            return list(fetch.fetch(bundle, [(file,) for file in files], fetch.present(bundle), one).errors)
    except NbserverError as error:
        return [error]


def test_a_disk_that_fills_at_any_stage(tmp_path: Path) -> None:
    limits = ["size=100k", "size=1500k", *(f"size=8m,nr_inodes={number}" for number in range(2, 30))]
    stages = 0
    with served() as server:
        files = [server.file("a.zip"), server.file("b.zip")]
        for limit in limits:
            with disk(tmp_path / "disk", limit):
                bundle = tmp_path / "disk" / "bundle"
                found = errors(bundle, files)
                assert all(isinstance(error, OutputError) and "No space left on device" in str(error) for error in found), (limit, found)
                if not found:
                    break
                stages += 1
                for path in bundle.glob("files/*/*"):
                    assert check.has(bundle, next(one for one in files if one.file == path.name)), limit
                assert not (bundle / contents.FILE_NAME).exists(), limit
                subprocess.run(["mount", "-o", f"remount,{ENOUGH}", str(tmp_path / "disk")], check=True)
                assert errors(bundle, files) == [] == check.findings(bundle), limit
    assert stages > 8
