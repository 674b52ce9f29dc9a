"""The shipped catalog and locks, and a site catalog laid over them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from nbserver.base.errors import CatalogError
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.entries import Download, Lock
from nbserver.catalog.reader import load
from tests.checkout import CHECKOUT

HEX = "0123456789abcdef" * 4
NAMED = {"numpy", "matplotlib", "tornado", "pyzmq", "ipython", "notebook", "uv", "ipykernel"}
SHIPPED = load()


def entry(**changes: str) -> str:
    keys = {
        "version": '"3.13.16"',
        "architecture": '"x64"',
        "kind": '"zip"',
        "url": '"http://mirror.example.com/python-3.13.16-amd64.zip"',
        "sha256": f'"{HEX}"',
        "executable": '"python.exe"',
        **changes,
    }
    return "[[python]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items() if value)


def overlay(folder: Path, text: str) -> Catalog:
    (folder / "site.toml").write_text(text, "utf-8")
    return load(folder / "site.toml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(CatalogError) as error:
        overlay(folder, text)
    return str(error.value).replace(str(folder) + "/", "")


@pytest.mark.parametrize("download", SHIPPED.downloads, ids=lambda x: f"{x.name}-{x.version}-{x.architecture}-{x.kind}")
def test_a_shipped_download_is_hashed_or_unverified(download: Download) -> None:
    assert download.sha256 is None or re.fullmatch("[0-9a-f]{64}", download.sha256)
    assert download.url.startswith("https://")
    in_url = (download.version.replace(".", "_"), download.version, (download.sha256 or "-").upper())
    assert any(part in download.url for part in in_url)
    assert download.source
    if download.name == "vc_redist":
        assert download in {
            SHIPPED.vc_redist(download.architecture, windows=name)
            for name in (None, *(("2012r2", "2012") if download.architecture == "x64" else ()))
        }
        return
    choose = getattr(SHIPPED, download.name)
    if download.sha256:
        assert choose(download.version, download.architecture, download.kind, end_of_life=download.end_of_life) == download
    else:
        with pytest.raises(CatalogError, match="is unverified"):
            choose(download.version, download.architecture)


def test_the_newest_python_is_taken_whatever_its_kind(tmp_path: Path) -> None:
    overlaid = overlay(tmp_path, entry(version='"3.13.15"', sha256=""))
    for prefix in (None, "3", "3.13"):
        assert [(x.version, x.kind) for x in (SHIPPED.python(prefix, "x64"),)] == [
            ("3.14.7", "zip") if prefix == "3" else ("3.13.15", "exe")
        ]
    assert [SHIPPED.python(version, "x64").kind for version in ("3.11", "3.12", "3.13.13", "3.14")] == ["zip"] * 4, (
        "a zip if both are the same"
    )
    assert SHIPPED.python("3.13", "x64", "zip").version == "3.13.13"
    with pytest.raises(CatalogError, match="is unverified"):  # the site wants this file, so no other one takes its place
        overlaid.python("3.13", "x64")
    assert (SHIPPED.python("3.13", "x64", "exe").version, SHIPPED.python("3.13.15", "x64").kind) == ("3.13.15", "exe")
    with pytest.raises(CatalogError, match="is unverified"):
        overlaid.python("3.13.15", "x64", "zip")
    assert overlaid.python("3.13.15", "x64", "exe").kind == "exe"
    assert [SHIPPED.openssl("3.5", "x64", kind).kind for kind in (None, "msi", "exe")] == ["msi", "msi", "exe"]


def test_what_the_site_has_goes_before_newer_ones(tmp_path: Path) -> None:
    """A mirror has what it has: a host without the Internet cannot use a newer one of the publisher."""
    overlaid = overlay(tmp_path, entry(version='"3.13.5"'))
    for prefix in (None, "3.13", "3"):
        assert overlaid.python(prefix, "x64").version == "3.13.5"
    assert [overlaid.python("3.13", "x64", "exe").version, overlaid.python("3.14", "x64").version] == ["3.13.15", "3.14.7"]
    assert overlaid.python(None, "x64", windows="2012r2").version == "3.12.10"


def test_the_shipped_hashes_differ() -> None:
    hashes = [download.sha256 for download in SHIPPED.downloads if download.sha256]
    assert len(hashes) == len(set(hashes)) == 26


@pytest.mark.parametrize("lock", SHIPPED.locks, ids=lambda x: f"{x.python}-{x.architecture}")
def test_a_shipped_lock(lock: Lock) -> None:
    names = [line.partition("==")[0] for line in lock.lines]
    assert set(names) >= NAMED
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ]+( --hash=sha256:[0-9a-f]{64})+", line) for line in lock.lines)
    path = CHECKOUT / "installer" / "nbserver" / "catalog" / "data" / lock.file
    kept = [line for line in path.read_text("ascii").splitlines() if line and line[0] != "#"]
    assert tuple(kept) == lock.lines, "the file itself is sorted"
    assert lock.sha256 == hashlib.sha256("".join(f"{line}\n" for line in kept).encode()).hexdigest()
    assert path.name == f"windows-{lock.architecture}-python{lock.python}.txt"
    assert SHIPPED.lock(SHIPPED.python(lock.python, lock.architecture, end_of_life=True).version, lock.architecture) == lock


@pytest.mark.parametrize("lock", SHIPPED.locks, ids=lambda x: f"{x.python}-{x.architecture}")
def test_a_shipped_lock_has_what_the_scripts_rely_on(lock: Lock) -> None:
    """The server's configuration is that of jupyter_server 2, and the starter imports notebook.app, which came with notebook 7.

    cryptography makes the certificate in user scope, which is for Pythons that run nbserver.
    """
    versions = dict(line.split(" ")[0].split("==") for line in lock.lines)
    assert int(versions["notebook"].split(".")[0]) >= 7
    assert int(versions["jupyter-server"].split(".")[0]) >= 2
    assert {"argon2-cffi", "matplotlib-inline", "pillow", "pywinpty"} <= versions.keys()
    assert "cryptography" in versions or lock.python == "3.8"


def test_a_site_catalog_replaces_adds_and_sets_defaults(tmp_path: Path) -> None:
    text = '[defaults]\npython = "3.12"\n' + entry(sha256=f'"{HEX.upper()}"', size="5") + entry(version='"3.12.10"')
    text += '[[lock]]\npython = "3.12"\narchitecture = "x64"\nfile = "own.txt"\n'
    (tmp_path / "own.txt").write_text(f"# mine\r\nb==1.0 --hash=sha256:{HEX}\r\n\r\na-c==2 --hash=sha256:{HEX}\r\n")
    catalog = overlay(tmp_path, text)
    verified = catalog.python("3.13", "x64")
    assert (verified.version, verified.sha256, verified.size) == ("3.13.16", HEX, 5)
    assert catalog.python(None, "x64").url == "http://mirror.example.com/python-3.13.16-amd64.zip"
    assert catalog.python("3.12", "arm64") == SHIPPED.python("3.12", "arm64")
    assert len(catalog.downloads) == len(SHIPPED.downloads)
    assert catalog.downloads[0] == verified
    assert catalog.lock("3.12.10", "x64").lines == (f"a-c==2 --hash=sha256:{HEX}", f"b==1.0 --hash=sha256:{HEX}")
    assert catalog.lock("3.13", "x64") == SHIPPED.lock("3.13", "x64")
    assert catalog.default_openssl == SHIPPED.default_openssl


def test_the_digest_is_over_everything_loaded(tmp_path: Path) -> None:
    text = '[[lock]]\npython = "3.12"\narchitecture = "x64"\nfile = "own.txt"\n'
    digests = {SHIPPED.digest, load().digest}
    assert len(digests) == 1
    for lock, toml in (("", text), ("# x", text), ("# x", text + "# y")):
        (tmp_path / "own.txt").write_text(f"a==1 --hash=sha256:{HEX}\n{lock}\n")
        digests.add(overlay(tmp_path, toml).digest)
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[python]\n", "site.toml:1: this is not valid TOML"),
        ("\n[[pyhton]]\n", 'site.toml:2: unknown key (did you mean "python"?); valid keys: defaults, python'),
        (entry(size="-1"), "site.toml:8: python[1].size: the number is out of range"),
        (entry(size='"5"'), "site.toml:8: python[1].size: expected a number, found text"),
        (entry(sha256='"abc"'), "site.toml:6: python[1].sha256: expected a SHA-256 hash of 64 hex digits, found 3 characters"),
        (entry(sha256='"' + "g" * 64 + '"'), "site.toml:6: python[1].sha256"),
        (
            entry(url='"https://u:hunter2@x/y.zip"'),
            "site.toml:5: python[1].url: must not contain a user name or password",
        ),
        (entry(url='"ftp://x/y.zip"'), "site.toml:5: python[1].url: must begin with"),
        (entry(url='"https://x/"'), "must not end in /"),
        (entry(kind='"msi"'), "site.toml:4: python[1].kind: unknown value; expected zip or exe"),
        (
            entry(kind='"exe"', executable='"C:\\\\python.exe"'),
            'with kind = "exe", executable must be the path of one file inside the installation folder',
        ),
        (
            entry(kind='"rpm"').replace("python]", "openssl]"),
            "openssl[1].kind: unknown value; expected zip, msi, or exe",
        ),
        (entry(architecture=""), "site.toml:1: python[1].architecture: this key is required; expected x64 or arm64"),
        (
            entry(version="3.13"),
            "site.toml:2: python[1].version: expected text, found a number",
        ),
        (entry(executable='"..\\\\x.exe"'), "python[1].executable[1]: must not contain an empty component, or . or .. as a component"),
        (entry(executable='"bin/x.exe"'), "must use backslashes instead of slashes"),
        (
            entry(executable='["a.exe", "b.exe"]'),
            'site.toml:1: python[1]: with kind = "zip", executable must be the path of one file inside the zip file',
        ),
        (entry(executable="[]"), "site.toml:7: python[1].executable: "),
        (entry(kind='"msi"').replace("python]", "openssl]"), 'openssl[1]: with kind = "msi", executable must be an absolute path'),
        (entry() + entry(), "site.toml:8: python[2]: the entry duplicates an earlier one"),
        ("[defaults]\npython = 3.13\n", "site.toml:2: defaults.python: expected text, found a number"),
        (
            '[[lock]]\npython = "3.13"\narchitecture = "x64"\nfile = "absent.txt"\n',
            "site.toml:4: could not read the lock absent.txt",
        ),
        ("python = 3\n", "site.toml:1: python: expected tables [[python]]"),
    ],
)
def test_a_broken_site_catalog(tmp_path: Path, text: str, words: str) -> None:
    message = refusal(tmp_path, text)
    assert words in message
    assert "hunter2" not in message


def test_all_faults_of_a_site_catalog_are_told(tmp_path: Path) -> None:
    message = refusal(tmp_path, entry(size="0", sha256='"x"'))
    assert [line.split(":")[1] for line in message.splitlines()] == ["6", "8"]


def test_a_site_catalog_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="the file does not exist"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "own.txt:1: the file contains no packages"),
        ("a==1\n", "own.txt:1: the line is not valid; expected"),
        (f"a==1 \\\n    --hash=sha256:{HEX}\n", "own.txt:2: the line is not valid"),
        (f"# x\nA==1 --hash=sha256:{HEX}\n", "own.txt:2: the line is not valid"),
        (f"a==1 --hash=sha256:{HEX[1:]}\n", "own.txt:1: the line is not valid"),
        (f"a>=1 --hash=sha256:{HEX}\n", "own.txt:1: the line is not valid"),
        (f"a @ https://x/y.whl --hash=sha256:{HEX}\n", "own.txt:1: the line is not valid"),
        ("--index-url https://x\n", "own.txt:1: the line is not valid"),
        (f"a==1 --hash=sha256:{HEX}; x\n", "own.txt:1: the line is not valid"),
        (f"a==1 --hash=sha256:{HEX}\na==2 --hash=sha256:{HEX}\n", "own.txt:2: a is listed twice"),
    ],
)
def test_a_broken_lock_file(tmp_path: Path, lines: str, words: str) -> None:
    (tmp_path / "own.txt").write_text(lines)
    text = '[[lock]]\npython = "3.12"\narchitecture = "x64"\nfile = "own.txt"\n'
    assert words in refusal(tmp_path, text)
