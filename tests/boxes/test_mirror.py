"""The site's mirror, and how it misbehaves."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from tests.boxes import artifacts, wine
from tests.boxes.mirror import Mirror, byte_range
from tests.boxes.misbehaviour import other_bytes
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_python import PYTHON_3_11

FILE = f"/files/{artifacts.OPENSSL_ZIP}"


@pytest.fixture
def site(mirror: Mirror) -> Iterator[Mirror]:
    mirror.behave()
    yield mirror
    mirror.behave()


@pytest.fixture
def content(mirror: Mirror) -> bytes:
    return mirror.file(artifacts.OPENSSL_ZIP).read_bytes()


def get(site: Mirror, path: str, **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_ranges(site: Mirror, content: bytes) -> None:
    assert get(site, FILE)[:2] == (200, content)
    status, part, headers = get(site, FILE, Range="bytes=1000-")
    assert (status, part) == (206, content[1000:])
    assert headers["Content-Range"] == f"bytes 1000-{len(content) - 1}/{len(content)}"
    assert get(site, FILE, Range="bytes=-10")[:2] == (206, content[-10:])
    assert get(site, FILE, Range=f"bytes={len(content)}-")[0] == 416
    assert [request.range for request in site.asked("openssl")][1:3] == ["bytes=1000-", "bytes=-10"]


@given(st.binary(min_size=1, max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_the_slice_it_names(data: bytes, first: int, last: int) -> None:
    try:
        part = byte_range(f"bytes={first}-{last}", len(data))
    except ValueError:
        assert first >= len(data) or last < first
    else:
        assert part is not None and data[part[0] : part[1] + 1] == data[first : last + 1] != b""


def test_cut_once_then_the_rest(site: Mirror, content: bytes) -> None:
    site.misbehave("cut", "*/openssl-*", after=5000)
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(site, FILE)
    assert cut.value.partial == content[:5000]
    assert get(site, FILE, Range="bytes=5000-")[:2] == (206, content[5000:])


def test_other_misbehaviour(site: Mirror, content: bytes) -> None:
    site.misbehave("no_range")
    assert get(site, FILE, Range="bytes=5-")[:2] == (200, content)
    site.misbehave("wrong_bytes")
    assert get(site, FILE)[:2] == (200, other_bytes(content))
    for kind, status in (("missing", 404), ("html", 200), ("proxy_authentication", 407)):
        site.misbehave(kind)  # type: ignore[arg-type]
        answer = get(site, FILE)
        assert answer[0] == status and answer[1] != content
    site.misbehave("missing", times=None)
    assert [get(site, FILE)[0] for _ in range(3)] == [404] * 3
    site.behave()
    assert get(site, FILE)[0] == 200 and len(site.requests) == 1


def test_as_a_proxy(site: Mirror, content: bytes) -> None:
    assert get(site, f"http://downloads.example.com{FILE}")[:2] == (200, content)
    assert [(request.path, request.through_proxy) for request in site.requests] == [(FILE, True)]
    with Mirror(site.lock_file) as behind:
        assert get(site, f"{behind.url}{FILE}", Range="bytes=0-9")[:2] == (206, content[:10])
        assert [request.through_proxy for request in behind.requests] == [False]


@pytest.mark.parametrize("path", ["/", "/files/", "/files/../conftest.py", "/files/other.zip", "/wheels", "/simple/none/"])
def test_nothing_else_is_there(mirror: Mirror, path: str) -> None:
    assert get(mirror, path)[0] == 404


@pytest.mark.parametrize("package", ["zip", "msi"])
def test_the_catalog_tells_the_truth(site: Mirror, tmp_path: Path, package: str) -> None:
    catalog = tomlkit.parse(site.write_catalog(tmp_path / "catalog.toml", openssl=package).read_text()).unwrap()
    for entry in (*catalog["python"], *catalog["openssl"]):
        status, body, _ = get(site, urlsplit(entry["url"]).path)
        assert (status, len(body), hashlib.sha256(body).hexdigest()) == (200, entry["size"], entry["sha256"])
        if entry["kind"] == "zip":
            with zipfile.ZipFile(site.file(entry["url"].rsplit("/", 1)[1])) as archive:
                assert archive.getinfo(entry["executable"].replace("\\", "/")).file_size > 10_000
    assert Path(catalog["lock"][0]["file"]).samefile(site.lock_file)
    wrong = site.write_catalog(tmp_path / "wrong.toml", openssl=package, changes={"python": {"sha256": "0" * 64}})
    assert tomlkit.parse(wrong.read_text())["python"][0]["sha256"] == "0" * 64


def test_python_is_laid_out_as_by_its_publisher(mirror: Mirror) -> None:
    with zipfile.ZipFile(mirror.file(PYTHON_3_11.file_name)) as archive:
        names = set(archive.namelist())
    assert {"python.exe", "vcruntime140.dll", "Lib/os.py", "Lib/site-packages/pip/__init__.py", "DLLs/_ssl.pyd"} <= names
    packages = {name.split("/")[2] for name in names if name.startswith("Lib/site-packages/")}
    assert {name for name in packages if name.endswith(".dist-info")} == {"pip-24.2.dist-info", "setuptools-72.2.0.dist-info"}


def test_the_small_python_is_a_part_of_it(mirror: Mirror) -> None:
    with zipfile.ZipFile(mirror.file(PYTHON_3_11.file_name)) as whole, zipfile.ZipFile(mirror.file(PYTHON_3_11.small_file_name)) as small:
        sums = [{entry.filename: entry.CRC for entry in archive.infolist()} for archive in (whole, small)]
    assert sums[1].items() < sums[0].items()
    assert {"python.exe", "Lib/os.py", "Lib/venv/__init__.py", "Lib/ensurepip/__init__.py", "Lib/site-packages/pip/__init__.py"} <= set(
        sums[1]
    )


def test_pip_installs_from_the_index_with_hashes(mirror: Mirror, tmp_path: Path) -> None:
    line = next(text for text in mirror.lock_file.read_text().splitlines() if text.startswith("colorama=="))
    lock = tmp_path / "lock.txt"
    lock.write_text(f"{line}\n")
    with Mirror(lock, cache=tmp_path / "cache") as small:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "--isolated",
                "download",
                "--no-deps",
                "--require-hashes",
                "-r",
                str(lock),
                "--index-url",
                small.index_url,
                "-d",
                str(tmp_path / "got"),
                "--no-cache-dir",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [file.name for file in (tmp_path / "got").iterdir()] == [file.name for file in small.wheels.iterdir()]
        assert small.asked("^/simple/colorama/$") and small.asked(r"^/wheels/colorama-.*\.whl$")
        assert get(small, "/simple/")[1].count(b"<a ") == 1


def test_the_msi_installs_and_leaves(mirror: Mirror, windows_host: WindowsBox) -> None:
    msi = wine.windows_path(mirror.file(artifacts.OPENSSL_MSI))
    before = windows_host.snapshot()
    wine.run(windows_host.prefix, "msiexec", "/qn", "/i", msi)
    assert wine.run(windows_host.prefix, r"C:\Program Files\OpenSSL\bin\openssl.exe", "version").startswith("OpenSSL 3.5.7 ")
    wine.run(windows_host.prefix, "msiexec", "/qn", "/x", msi)
    assert windows_host.snapshot() == before
