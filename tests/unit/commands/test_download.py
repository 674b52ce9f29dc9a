"""`nbserver download` with real uv, a small index, and a server with the files of programs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nbserver.bundle import mirror_certificate
from nbserver.catalog.site_lock import NEEDED
from nbserver.cli import program
from tests.formats import validate
from tests.package_index import Served, put_server, put_wheel, served

INVENTORY = """
[defaults]
notebook.password = { prompt = true }
packages.index_url = "INDEXsimple/"
packages.lock = "site.lock"
[hosts.win1]
system = "windows"
address = "win1.example.com"
python.version = "3.13"
catalog = "catalog.toml"
[hosts.lin1]
system = "linux"
address = "lin1.example.com"
user = "anna"
"""
PROGRAMS = {"python-3.13.99-amd64.zip": b"python" * 1000, "openssl-3.5.99.zip": b"openssl" * 1000}


class Site:
    def __init__(self, folder: Path, index: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.index, self._capsys, self._monkeypatch = folder, index, capsys, monkeypatch
        self.bundle = folder / "bundle"

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        given = ["nbserver", "download", *arguments, "-i", str(self.folder / "nbserver.toml"), "-o", str(self.bundle)]
        self._monkeypatch.setattr("sys.argv", given)
        with pytest.raises(SystemExit) as ended:
            program.main()
        printed = self._capsys.readouterr()
        assert ended.value.code == code, printed
        return printed.out, printed.err


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with opened(tmp_path, capsys, monkeypatch) as found:
        yield found


@contextmanager
def opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, certificate: Path | None = None
) -> Iterator[Site]:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = tmp_path / "index" / "simple"
    put_server(index)
    for tag in ("cp313-cp313-win_amd64", "cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux_2_17_aarch64"):
        put_wheel(index, "numpy", "1.0", tag=tag)
    (index / "numpy" / "numpy-1.0-py3-none-any.whl").unlink()
    put_wheel(index, "numpy", "1.0", tag="cp310-abi3-manylinux_2_17_x86_64")
    lines = []
    for name in NEEDED:
        hashes = sorted(digest(path.read_bytes()) for path in (index / name).glob("*.whl"))
        lines.append(f"{name}==1.0" + "".join(f" --hash=sha256:{one}" for one in hashes))
    (tmp_path / "site.lock").write_text("\n".join(lines) + "\n")
    with served(tmp_path / "index", certificate) as found:
        catalog = []
        for (name, data), kind in zip(PROGRAMS.items(), ("python", "openssl"), strict=True):
            (tmp_path / "index" / name).write_bytes(data)
            version = name.split("-")[1].removesuffix(".zip")
            catalog.append(
                f'[[{kind}]]\nversion = "{version}"\narchitecture = "x64"\nkind = "zip"\nurl = "{found.url}{name}"\n'
                f'sha256 = "{digest(data)}"\nexecutable = "{kind}.exe"\n'
            )
        (tmp_path / "catalog.toml").write_text("\n".join(catalog))
        (tmp_path / "nbserver.toml").write_text(INVENTORY.replace("INDEX", found.url))
        yield Site(tmp_path, found, capsys, monkeypatch)


def test_a_bundle_for_windows_and_linux_hosts(site: Site) -> None:
    answer = json.loads(site.run("win1", "lin1", "--json")[0])
    validate("answer", answer)
    found = json.loads((site.bundle / "bundle.json").read_text())
    validate("bundle", found)
    files = {one["file"] for one in found["files"]}
    assert files >= {*PROGRAMS, "notebook-1.0-py3-none-any.whl", "numpy-1.0-cp313-cp313-win_amd64.whl"}
    assert "numpy-1.0-cp310-abi3-manylinux_2_17_x86_64.whl" in files
    assert not [name for name in files if "aarch64" in name]  # no host has this processor
    assert len(answer["downloaded"]) == answer["files"] == len(files)
    page = (site.bundle / "wheels.html").read_text()
    assert all(f'href="{path}#sha256=' in page for path in answer["downloaded"] if path.endswith(".whl"))

    shutil.rmtree(site.folder / "index")  # a second run does not even ask the index
    out, err = site.run("win1", "lin1")
    assert "0 of them downloaded now" in out and err == ""
    assert "0 findings" in site.run("--verify")[0]
    validate("answer", json.loads(site.run("win1", "--verify", "--json")[0]))


def test_verify_names_what_hosts_need_and_the_bundle_lacks(site: Site) -> None:
    site.run("lin1")
    out, _ = site.run("win1", "--verify", code=5)
    assert "the bundle lacks python 3.13.99" in out
    assert "the bundle has no wheel for numpy==1.0 on Windows x64, Python 3.13" in out
    assert "notebook==1.0" not in out
    next(site.bundle.rglob("*.whl")).write_bytes(b"x")
    answer = json.loads(site.run("--verify", "--json", code=5)[0])
    assert [one["code"] for one in answer["findings"]] == ["bundle-file-size"]


def test_authorities_of_the_site_count_for_programs_and_for_the_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate = mirror_certificate.require(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
    with opened(tmp_path, capsys, monkeypatch, certificate) as site:
        assert "certificate" in site.run("win1", code=3)[1]
        site.run("win1", "--ca-file", str(authority))
        shutil.rmtree(site.bundle)
        inventory = tmp_path / "nbserver.toml"
        inventory.write_text(inventory.read_text().replace("[defaults]", '[defaults]\ndownloads.ca_file = "tls/authority.pem"'))
        site.run("win1")
        assert "0 findings" in site.run("win1", "--verify")[0]
        authority.write_text("no certificate")
        shutil.rmtree(site.bundle)
        assert "contains no PEM certificate" in site.run("win1", code=2)[1]


def test_prune_removes_what_the_named_hosts_do_not_need(site: Site) -> None:
    site.run("win1", "lin1")
    (site.bundle / "notes.txt").write_text("mine")
    assert "removed" not in site.run("win1", "lin1", "--prune")[1]
    answer = json.loads(site.run("lin1", "--prune", "--json")[0])
    validate("answer", answer)
    assert {path.rpartition("/")[2] for path in answer["removed"]} == {*PROGRAMS, "numpy-1.0-cp313-cp313-win_amd64.whl"}
    assert (site.bundle / "notes.txt").exists()
    (site.bundle / "notes.txt").unlink()
    assert "0 findings" in site.run("lin1", "--verify")[0]
    assert "0 of them downloaded now" in site.run("lin1")[0]
    assert "cannot be combined" in site.run("lin1", "--prune", "--verify", code=2)[1]


def test_a_file_that_its_publisher_has_moved_is_one_message_and_the_rest_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.folder / "index" / "python-3.13.99-amd64.zip").rename(site.folder / "moved")
    out, err = site.run("win1", code=3)
    assert "python-3.13.99-amd64.zip: the server responded with HTTP status 404" in err
    assert "run the command again" in out
    assert not (site.bundle / "bundle.json").exists()
    (site.folder / "moved").rename(site.folder / "index" / "python-3.13.99-amd64.zip")
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", None)  # closed
        assert "1 of them downloaded now" in site.run("win1")[0]
    catalog = site.folder / "catalog.toml"
    catalog.write_text(catalog.read_text().replace("python-3.13.99", "python%203.13.99"))
    assert 'a bundle cannot contain a file named "python%203.13.99-amd64.zip". Change this URL' in site.run("win1", code=2)[1]


@pytest.mark.parametrize("first", ["gone", "replaced"])
def test_the_next_source_of_a_program_is_tried_as_hosts_do(site: Site, first: str) -> None:
    catalog, url = site.folder / "catalog.toml", site.index.url
    wrong = site.folder / "index" / "openssl-3.5.99.zip"
    wrong.write_bytes(b"another build") if first == "replaced" else wrong.unlink()
    (site.folder / "index" / "openssl-3.5.98.zip").write_bytes(b"second")
    source = f'url = "{url}openssl-3.5.98.zip"\nsha256 = "{digest(b"second")}"\nversion = "3.5.98"\n'
    catalog.write_text(f"{catalog.read_text()}[[openssl.sources]]\n{source}")
    answer = json.loads(site.run("win1", "--json")[0])
    validate("answer", answer)
    assert f"files/{digest(b'second')}/openssl-3.5.98.zip" in answer["downloaded"] and answer["errors"] == []
    (warning,) = answer["warnings"]
    assert warning["code"] == "bundle-next-source" and warning["values"]["other"] == f"{url}openssl-3.5.98.zip"
    assert "0 findings" in site.run("win1", "--verify")[0], "one source is sufficient"
    assert "0 of them downloaded now" in site.run("win1", "--prune")[0] and "removed" not in site.run("win1", "--prune")[1]


def test_an_index_with_another_wheel_is_refused(site: Site) -> None:
    put_wheel(site.folder / "index" / "simple", "tornado", "1.0", "other")
    _, err = site.run("lin1", code=2)
    assert "lin1: the index has no wheel for tornado==1.0 that matches a hash in the lock" in err


def test_hosts_must_be_named(site: Site) -> None:
    assert "no hosts were specified" in site.run(code=2)[1]
    assert os.listdir(site.folder).count("bundle") == 0  # noqa: PTH208 (names only)
