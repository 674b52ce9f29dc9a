"""Downloads into a bundle from a server that misbehaves: nothing wrong is kept, and what is right is not fetched twice."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import DownloadError, OutputError
from nbserver.bundle import check, contents, fetch, source
from nbserver.bundle.contents import File
from nbserver.bundle.download import FileDownload, Stopped
from nbserver.bundle.progress import Silent
from tests.scanned import scanned
from tests.unit.bundle.bundle_server import DATA, Served, served
from tests.waiting import wait_until

PAUSES = (0.0, 0.0)


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as found:
        yield found


def download(bundle: Path, *files: File) -> fetch.Fetched:
    with fetch.opened(bundle), FileDownload(bundle, (), Silent(), pauses=PAUSES) as one:
        return fetch.fetch(bundle, [(file,) for file in files], fetch.present(bundle), one)


def test_a_bundle_is_complete_and_a_second_run_fetches_nothing(server: Served, tmp_path: Path) -> None:
    files = [server.file(f"tool-{number}.zip") for number in range(6)]
    done = download(tmp_path / "bundle", *files)
    assert not done.errors
    assert {one.file for one in done.downloaded} == {one.file for one in files}
    assert check.findings(tmp_path / "bundle") == []
    assert {one.size for one in contents.read(tmp_path / "bundle")} == {len(DATA)}
    assert not (tmp_path / "bundle" / contents.PARTIAL).exists()
    server.ranges.clear()
    before = (tmp_path / "bundle" / contents.FILE_NAME).read_bytes()
    assert download(tmp_path / "bundle", *files).downloaded == ()
    assert server.ranges == []
    assert (tmp_path / "bundle" / contents.FILE_NAME).read_bytes() == before


def test_a_file_that_a_virus_scanner_looks_at_gets_into_the_bundle(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at a program that was just downloaded for as long as at nothing else. Then it still has the folder open."""
    held = scanned(monkeypatch)
    monkeypatch.setattr(os, "rmdir", lambda path, **more: (_ for _ in ()).throw(PermissionError(13, "Access is denied")))
    download(tmp_path, server.file("a"))
    assert contents.partial(tmp_path, server.file("a")) in held and not check.findings(tmp_path)


def test_other_hosts_extend_a_bundle(server: Served, tmp_path: Path) -> None:
    download(tmp_path, server.file("a.zip"))
    download(tmp_path, server.file("b.zip"))
    assert [one.file for one in contents.read(tmp_path)] == ["a.zip", "b.zip"]
    assert check.findings(tmp_path) == []


def test_a_bundle_stays_as_it_is_until_all_other_files_are_there(server: Served, tmp_path: Path) -> None:
    download(tmp_path, server.file("a.zip"))
    others = [server.file(name) for name in ("b.zip", "c.zip")]
    for last in ("d.zip", "c.zip"):
        server.ways = ["404"]
        (error,) = download(tmp_path, *others).errors
        assert error.code == "download-http-status"
        assert check.findings(tmp_path) == [] and [one.file for one in contents.read(tmp_path)][-1] in ("a.zip", "d.zip")
        server.ranges.clear()
        download(tmp_path, *(others if last == "c.zip" else [server.file(last)]))
        assert check.findings(tmp_path) == [] and server.ranges == [""], "what has arrived is not downloaded again"
    assert [one.file for one in contents.read(tmp_path)] == ["a.zip", "b.zip", "c.zip", "d.zip"]


@pytest.mark.parametrize(
    ("ways", "ranges"),
    [
        (["cut"], ["", "bytes=300000-"]),
        (["cut", "503"], ["", "bytes=300000-", "bytes=300000-"]),
        (["cut", "cut"], ["", "bytes=300000-", "bytes=600000-"]),
        (["cut", "wrong part"], ["", "bytes=300000-", ""]),
        (["cut", "whole"], ["", "bytes=300000-"]),
        (["cut", "416"], ["", "bytes=300000-", ""]),
        (["503", "429"], ["", "", ""]),
    ],
)
def test_an_interrupted_download_continues(ways: list[str], ranges: list[str], server: Served, tmp_path: Path) -> None:
    server.ways = ways[:]
    assert not download(tmp_path, server.file()).errors
    assert server.ranges == ranges
    assert check.findings(tmp_path) == []


def test_a_server_that_sends_next_to_nothing_is_given_up_and_ctrl_c_ends_it(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbserver.bundle.download._WINDOW_SECONDS", 0.1)
    server.ways = ["drip"]
    assert not download(tmp_path, server.file()).errors
    assert len(server.ranges) == 2 and int(re.fullmatch("bytes=([0-9]+)-", server.ranges[1])[1]) < 50  # type: ignore[index]
    server.ways = ["drip"]
    with fetch.opened(tmp_path), FileDownload(tmp_path, (), Silent()) as one:
        one.stop()
        with pytest.raises(Stopped):
            one(server.file("other.zip"))


class Arrived(Silent):
    """Knows when something has arrived."""

    def __init__(self) -> None:
        self.some = threading.Event()

    def received(self, file: File, done: int, total: int | None) -> None:
        self.some.set()


@pytest.mark.parametrize(("way", "has_begun"), [("mute", False), ("silent", True)])
def test_ctrl_c_does_not_wait_for_a_server_that_says_nothing(way: str, has_begun: bool, server: Served, tmp_path: Path) -> None:
    """It waited for 30 seconds, and for 120 before the first byte."""
    server.ways = [way]
    progress, ends, file = Arrived(), list[str](), server.file()
    with fetch.opened(tmp_path), FileDownload(tmp_path, (), progress) as one:

        def work() -> None:
            try:
                one(file)
            except Stopped:
                ends.append("stopped")

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert progress.some.wait(60) if has_begun else wait_until(lambda: server.ranges == [""])
        one.stop()
        thread.join(20)
        assert ends == ["stopped"]
        assert contents.partial(tmp_path, file).exists() == has_begun, "what has arrived is kept"


def test_a_later_run_continues(server: Served, tmp_path: Path) -> None:
    server.ways = ["cut", "404"]
    (error,) = download(tmp_path, server.file()).errors
    assert error.code == "download-http-status"
    assert not (tmp_path / contents.FILE_NAME).exists()
    server.ranges.clear()
    assert not download(tmp_path, server.file()).errors
    assert server.ranges == ["bytes=300000-"]


def test_the_beginning_of_another_file_is_discarded(server: Served, tmp_path: Path) -> None:
    file = server.file()
    with fetch.opened(tmp_path):
        (tmp_path / contents.PARTIAL / f"{file.sha256}-{file.file}").write_bytes(b"x" * 1000)
    assert not download(tmp_path, file).errors
    assert server.ranges == ["bytes=1000-", ""]


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("404", "download-http-status"),
        ("page", "download-is-page"),
        ("unnamed page", "download-is-page"),
        ("wrong part", "download-wrong-part"),
        ("endless", "download-too-large"),
        ("to https://[x/", "source-redirect-refused"),
        ("to https://192.0.2.1:99999/", "source-redirect-refused"),
    ],
)
def test_a_wrong_answer_is_one_message_and_nothing_is_kept(way: str, code: str, server: Served, tmp_path: Path) -> None:
    server.ways = [way]
    file = server.file(size=len(DATA)) if way == "endless" else server.file()
    (error,) = download(tmp_path, file).errors
    assert error.code == code
    assert file.url in str(error)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_another_file_is_not_kept(server: Served, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"x"
    (error,) = download(tmp_path, server.file(), server.file("other.zip")).errors[:1]
    assert isinstance(error, DownloadError) and error.code == "download-other-hash"
    assert hashlib.sha256(server.data).hexdigest() in str(error)
    assert not [*(tmp_path / "files").iterdir()]


def test_an_announced_size_that_is_wrong_ends_the_download_before_it_begins(server: Served, tmp_path: Path) -> None:
    (error,) = download(tmp_path, server.file(size=len(DATA) - 1)).errors
    assert error.code == "download-other-size"


@pytest.mark.parametrize("url", ["https://Packages.Example.com/simple/", "https://packages.example.com:443/a.whl"])
def test_a_login_is_for_an_origin_however_its_url_is_written(url: str) -> None:
    assert source.origin_of(url) == source.origin_of("https://packages.example.com/files/a.whl") != ""
    assert source.origin_of("http://packages.example.com/a.whl") != source.origin_of(url) != source.origin_of("https://x:99999/")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with served() as server:
        file = server.file()
    (error,) = download(tmp_path, file).errors
    assert error.code == "download-no-file" and "refused the connection" in str(error)


def test_a_full_disk_ends_all_downloads_and_a_later_run_continues(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("nbserver.bundle.download.os.fsync", full)
        errors = download(tmp_path, server.file("a.zip"), server.file("b.zip")).errors
    assert errors and all(isinstance(error, OutputError) and "No space left on device" in str(error) for error in errors)
    assert not download(tmp_path, server.file("a.zip"), server.file("b.zip")).errors
    assert check.findings(tmp_path) == []


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _swapped(path: Path) -> None:
    path.write_bytes(DATA[::-1])


def _linked(path: Path) -> None:
    path.rename(path.parent.parent.parent.parent / "outside.zip")
    path.symlink_to(path.parent.parent.parent.parent / "outside.zip")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize("change", [Path.unlink, _emptied, _swapped, _linked])
def test_a_later_run_replaces_what_somebody_changed(change: Callable[[Path], None], server: Served, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    download(bundle, server.file("a.zip"), server.file("b.zip"))
    change(next(bundle.rglob("a.zip")))
    server.ranges.clear()
    assert [one.file for one in download(bundle, server.file("a.zip"), server.file("b.zip")).downloaded] == ["a.zip"]
    assert server.ranges == [""] and check.findings(bundle) == []
    outside = tmp_path / "outside.zip"
    assert not outside.exists() or outside.read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_nothing_is_written_through_a_link_in_a_bundle(server: Served, tmp_path: Path) -> None:
    bundle, outside, file = tmp_path / "bundle", tmp_path / "outside", server.file()
    outside.mkdir()
    (outside / "mine").write_bytes(b"mine")
    with fetch.opened(bundle):
        (bundle / contents.PARTIAL / f"{file.sha256}-{file.file}").symlink_to(outside / "mine")
    (bundle / file.path).parent.symlink_to(outside)
    (error,) = download(bundle, file).errors
    assert error.code == "folder-is-link"
    (bundle / file.path).parent.unlink()
    assert not download(bundle, file).errors and check.findings(bundle) == []
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"mine": b"mine"}


def test_a_folder_that_is_a_link_is_refused(server: Served, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "files").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="found a link"):
        download(tmp_path / "bundle", server.file())
