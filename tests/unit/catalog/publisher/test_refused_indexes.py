"""Every index that is refused, and whatever an index holds: the same code as the command, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import DownloadError
from nbserver.catalog import site_catalog
from nbserver.catalog.update import newest
from tests.catalog_updates import MIRROR, MIRRORED, OPENSSL, PYTHON, SHIPPED, fetch_from, update, written
from tests.publishers import (
    APRIL_OPENSSL,
    APRIL_PYTHON,
    FTP,
    SLPROWEB,
    legacy_entry,
    openssl_entry,
    openssl_index,
    python_entry,
    python_index,
)
from tests.tier import examples


def refusal(python: bytes = APRIL_PYTHON, openssl: bytes = APRIL_OPENSSL, **pages: bytes) -> str:
    with pytest.raises(DownloadError) as error:
        update({PYTHON: python, OPENSSL: openssl, **{f"{MIRROR}python/{name}.json": page for name, page in pages.items()}})
    message = str(error.value)
    assert message.startswith(MIRROR)
    assert message.isascii() and message.isprintable()
    assert len(message) < 550
    return message


def python_with(**changes: Any) -> bytes:
    return python_index(python_entry("3.13.13", **changes))


def openssl_with(**changes: Any) -> bytes:
    ((name, values),) = openssl_entry("3.5.6").items()
    return openssl_index({name: {key: value for key, value in {**values, **changes}.items() if value is not None}})


ZIP = "python-3.13.13-amd64.zip"


@pytest.mark.parametrize(
    ("python", "words"),
    [
        (b"", "this is not valid JSON: Expecting value (line 1, column 1)"),
        (APRIL_PYTHON[:500], "not valid JSON"),
        (APRIL_PYTHON + b"x", "not valid JSON: Extra data"),
        (b"\xef\xbb\xbf\n <html>", "expected an index in JSON, found a web page"),
        (b"\xff" + APRIL_PYTHON, "the text is not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[]", "expected an object, found an array"),
        (b"null", "expected an object, found null"),
        (b"{}", "versions is missing"),
        (b'{"versions": {}}', "versions: expected an array, found an object"),
        (b'{"versions": [1]}', "versions[0]: expected an object, found a number"),
        (b'{"versions": []}', "the index has no release of Python 3.13 for x64."),
        (b'{"versions": [], "versions": []}', 'the key "versions" is defined twice'),
        (APRIL_PYTHON.replace(b'"hash": {', b'"hash": {"sha256": "00",', 1), 'the key "sha256" is defined twice'),
        (b'{"versions": NaN}', "NaN is not a valid number in JSON"),
        (b'{"versions": ' + b"9" * 100_000 + b"}", "a number is too long (100000 digits)"),
        (python_index({}), "versions[0]: id is missing"),
        (python_with(id=["pythoncore-3.13-64"]), "versions[0]: id: expected text, found an array"),
        (python_with(schema=2), "schema 2 is not supported"),
        (python_with(schema=True), "schema: expected a whole number, found true or false"),
        (python_with(hash=None), "versions[0]: hash is missing"),
        (python_with(hash={"md5": "00"}), "versions[0].hash: sha256 is missing"),
        (python_with(hash="ab" * 32), "hash: expected an object, found text"),
        (python_with(hash={"sha256": "ab" * 31}), "sha256: expected 64 hex digits"),
        (python_with(hash={"sha256": "ab" * 33}), "sha256: expected 64 hex digits"),
        (python_with(hash={"sha256": "\u0661" * 64}), "sha256: expected 64 hex digits"),
        (python_with(hash={"sha256": "ab" * 31 + "a\n"}), "sha256: expected 64 hex digits"),
        (python_with(hash={"sha256": None}), "sha256: expected text, found null"),
        (python_with(**{"sort-version": None}), "sort-version is missing"),
        (python_with(**{"sort-version": 3.13}), "sort-version: expected text, found a number"),
        (python_with(**{"sort-version": "3.13"}), 'sort-version: expected a version made up of three numbers, found "3.13"'),
        (python_with(**{"sort-version": "3.13.x"}), "sort-version: expected a version"),
        (python_with(**{"sort-version": "3.13.013"}), "sort-version: expected a version"),
        (python_with(**{"sort-version": "3.13.1\u0663"}), "sort-version: expected a version"),
        (python_with(**{"sort-version": "3.13.9999999"}), "sort-version: expected a version"),
        (python_with(**{"sort-version": "\x1b[31m\u202e"}), 'three numbers, found "\\u001b[31m\\u202e"'),
        (python_with(**{"sort-version": "\ud800" * 1000}), "sort-version: expected a version"),
        (python_with(**{"sort-version": "3.14.4"}), "sort-version 3.14.4 does not belong to the branch 3.13"),
        (python_with(**{"sort-version": "3.13.16"}), "expected the file python-3.13.16-amd64.zip"),
        (python_with(executable="..\\python.exe"), "executable is not a path inside the zip"),
        (python_with(executable="C:\\Windows\\System32\\cmd.exe"), "executable is not a path inside the zip"),
        (python_with(executable="\\\\evil\\python.exe"), "executable is not a path inside the zip"),
        (python_with(executable=".\\a\\..\\..\\python.exe"), "executable is not a path inside the zip"),
        (python_with(executable=""), "executable is not a path inside the zip"),
        (python_with(url=None), "url is missing"),
        (python_with(url=1), "url: expected text, found a number"),
        (python_with(url=f"http://www.python.org/ftp/python/3.13.13/{ZIP}"), "must begin with https://"),
        (python_with(url=f"file:///3.13.13/{ZIP}"), "must begin with https://"),
        (python_with(url=f"https://www.python.org.evil.example/ftp/python/{ZIP}"), "must begin with https://www.python.org/ftp/python/ or"),
        (python_with(url=f"https://www.python.org@evil.example/ftp/python/{ZIP}"), "must not contain a user name"),
        (python_with(url=f"https://www.python.org:444/ftp/python/{ZIP}"), "must begin with"),
        (python_with(url=f"https://www.python.org/{ZIP}"), "must begin with"),
        (python_with(url=f"https://mirror.example.com/{ZIP}"), "must begin with"),
        (python_with(url=f"{FTP}../../{ZIP}"), "an empty component, a component that begins with a dot, or a percent-encoded character"),
        (python_with(url=f"{FTP}%2e%2e/{ZIP}"), "or a percent-encoded character"),
        (python_with(url=f"{FTP}//{ZIP}"), "an empty component"),
        (python_with(url=f"{FTP}3.13.13/{ZIP}?x"), "must not contain a query"),
        (python_with(url=f"{FTP}3.13.13/{ZIP}\n"), "contains a character that is not allowed in a URL"),
        (python_with(url=f"{FTP}{'a/' * 300}{ZIP}"), "must not be longer than 500 characters"),
        (python_with(url=f"{FTP}3.13.13/python-3.13.13-embeddable-amd64.zip"), f"expected the file {ZIP}"),
        (python_with(url=f"{FTP}3.13.13/python-3.13.13-arm64.zip"), f"expected the file {ZIP}"),
        (python_with(url=FTP), f"expected the file {ZIP}"),
        (python_index(python_entry("3.15.0rc1"), python_entry("3.12.10")), "; found: 3.12, 3.15"),
        (python_index(legacy_entry("3.13.13")), "versions[0]: hash is missing"),
        (
            python_index(python_entry("3.13.13"), python_entry("3.13.13", hash={"sha256": "ab" * 32})),
            "the entry for 3.13.13",
        ),
        (python_index(python_entry("3.13.13"), next=7), "next: expected text, found a number"),
        (python_index(python_entry("3.13.13"), next="index-windows.json"), "the index has more than"),
        (
            python_index(python_entry("3.13.13"), next="https://evil.example/x.json"),
            "the key next is not a valid URL: must not point to another host",
        ),
        (
            python_index(python_entry("3.13.13"), next="//evil.example/x.json"),
            "the key next is not a valid URL: must not point to another host",
        ),
        (
            python_index(python_entry("3.13.13"), next="https://mirror.example.com/python/x.json"),
            "the key next is not a valid URL: must not point to another host",
        ),
        (
            python_index(python_entry("3.13.13"), next="http://mirror.example.com:8443/x.json"),
            "the key next is not a valid URL: must begin with https",
        ),
        (
            python_index(python_entry("3.13.13"), next="../x.json"),
            "the key next is not a valid URL: must be the file name or URL of the next page",
        ),
        (python_index(python_entry("3.13.13"), next="a\r\nb"), "the key next is not a valid URL: must be the file name"),
        (python_index(python_entry("3.13.13"), next="https://["), "the key next is not a valid URL: "),
    ],
)
def test_an_index_of_python_that_is_refused(python: bytes, words: str) -> None:
    assert words in refusal(python)


@pytest.mark.parametrize(
    ("openssl", "words"),
    [
        (b"{}", "files is missing"),
        (b'{"files": []}', "files: expected an object, found an array"),
        (b'{"files": {"a\\u0007": 1}}', 'files["a\\u0007"] is not an object'),
        (b'{"files": {}}', "the index has no release of the Light msi of OpenSSL 3.5 for x64."),
        (APRIL_OPENSSL.replace(b"3_5_6.exe", b"3_5_6.msi"), "is defined twice in the same object"),
        (openssl_index(openssl_entry("3.6.2"), openssl_entry("3.5.6", installer="exe")), "; found: 3.6"),
        (openssl_with(installer=None), 'files["Win64OpenSSL_Light-3_5_6.msi"]: installer is missing'),
        (openssl_with(light="true"), "light: expected true or false, found text"),
        (openssl_with(bits="64"), "bits: expected a whole number, found text"),
        (openssl_with(bits=64.0), "bits: expected a whole number, found a number"),
        (openssl_with(arch=None), "arch is missing"),
        (openssl_with(basever="3.5"), 'basever: expected a version made up of three numbers, found "3.5"'),
        (openssl_with(basever="3.5.-1"), "basever: expected a version"),
        (openssl_with(basever="3.5.7"), "expected the file Win64OpenSSL_Light-3_5_7.msi"),
        (openssl_with(subver="a"), 'the version must contain only numbers, but subver is "a"'),
        (openssl_with(size=None), "size is missing"),
        (openssl_with(size=-1), "size must be from 1 to "),
        (openssl_with(size=0), " bytes, got 0"),
        (openssl_with(size=10**15), " bytes, got 1000000000000000"),
        (openssl_with(size="6045696"), "size: expected a whole number, found text"),
        (openssl_with(size=True), "size: expected a whole number, found true or false"),
        (openssl_with(sha256=None), "sha256 is missing"),
        (openssl_with(sha256="63f9e81d4208a808fb40c38255e8f92e"), "sha256: expected 64 hex digits"),
        (openssl_with(url=f"http://slproweb.com/download/{'Win64OpenSSL_Light-3_5_6.msi'}"), "must begin with https://"),
        (openssl_with(url=f"{SLPROWEB}../Win64OpenSSL_Light-3_5_6.msi"), "begins with a dot"),
        (openssl_with(url="https://evil.example/Win64OpenSSL_Light-3_5_6.msi"), f"must begin with {SLPROWEB} or {MIRROR}"),
        (openssl_with(url=f"{SLPROWEB}Win64OpenSSL_Light-3_5_5.msi"), "url belongs to a different file"),
        (openssl_with(url=None), "url is missing"),
    ],
)
def test_an_index_of_openssl_that_is_refused(openssl: bytes, words: str) -> None:
    assert words in refusal(openssl=openssl)


def test_pages_that_do_not_end() -> None:
    pages = {f"page{n}": python_index(next=f"page{n + 1}.json") for n in range(20)}
    assert "page9.json: could not use the index: the index has more than" in refusal(
        python_index(python_entry("3.13.13"), next="page1.json"), **pages
    )


def test_pages_that_are_too_large_together() -> None:
    large = b" " * (17 * 1024 * 1024)
    words = refusal(large + python_index(next="more.json"), more=large + APRIL_PYTHON)
    assert words.startswith(f"{MIRROR}python/more.json: could not use the index: the index is larger than 32 MB")


def test_a_version_and_its_branch_that_disagree() -> None:
    pages = {
        PYTHON: APRIL_PYTHON,
        f"{MIRROR}python/3.13.13/windows-3.13.13.json": python_with(hash={"sha256": "ab" * 32}),
        OPENSSL: APRIL_OPENSSL,
    }
    with pytest.raises(DownloadError, match=r"windows-3\.13\.13\.json: the entry for Python 3\.13\.13 for x64 differs from "):
        update(pages, python=("3.13", "3.13.13"))


def test_a_second_index_that_cannot_be_read() -> None:
    with pytest.raises(DownloadError, match=r"openssl\.json: there is no such page"):
        update({PYTHON: APRIL_PYTHON})


def test_without_a_mirror_only_the_publisher_has_files() -> None:
    index = "https://github.com/slproweb/opensslhashes/raw/master/win32_openssl_hashes.json"
    for folder in (f"{MIRROR}files", "https://www.python.org/elsewhere"):
        python = python_with(url=f"{folder}/{ZIP}")
        with pytest.raises(DownloadError, match=r"url \S+ is not valid: must begin with https://www\.python\.org/ftp/python/"):
            update({f"{FTP}index-windows.json": python}, mirrored=False)
    openssl = openssl_with(url="https://github.com/somebody/Win64OpenSSL_Light-3_5_6.msi")
    with pytest.raises(DownloadError, match=r"url \S+ is not valid: must begin with https://slproweb\.com/download/"):
        update({f"{FTP}index-windows.json": APRIL_PYTHON, index: openssl}, mirrored=False)


# ---- whatever an index holds

trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=20,
)
fields = (
    "schema",
    "id",
    "sort-version",
    "executable",
    "url",
    "hash",
    "basever",
    "subver",
    "arch",
    "bits",
    "light",
    "installer",
    "size",
    "sha256",
)
odd_text = st.sampled_from([FTP, SLPROWEB, MIRROR, ZIP, "3.13.16", "..", "\\", "/", "%2e", "\ud800", "ab" * 32, "\n"])
changes = st.dictionaries(st.sampled_from(fields), trees | st.lists(odd_text, max_size=3).map("".join), max_size=3)


def refused_or_sound(python: bytes, openssl: bytes, folder: Path) -> None:
    """Nothing but the documented error comes out, or entries that the catalog reads as they were meant."""
    try:
        found = newest(MIRRORED, SHIPPED, fetch_from({PYTHON: python, OPENSSL: openssl}), "2026-11-22")
    except DownloadError as error:
        assert str(error).isascii() and "\n" not in str(error)
        return
    entries = written(folder, site_catalog.text(found))
    assert entries == found
    assert [(x.name, x.architecture) for x in entries] == [("python", "x64"), ("openssl", "x64")]
    for entry in entries:
        assert entry.sha256 and len(entry.sha256) == 64
        assert entry.url.startswith((FTP, SLPROWEB, MIRROR))
        assert entry.version in entry.url.replace("_", ".")


@given(trees, trees)
@examples(50)
def test_any_json_is_refused_or_sound(tmp_path_factory: pytest.TempPathFactory, python: Any, openssl: Any) -> None:
    refused_or_sound(json.dumps(python).encode(), json.dumps(openssl).encode(), tmp_path_factory.getbasetemp())
    refused_or_sound(json.dumps({"versions": python}).encode(), APRIL_OPENSSL, tmp_path_factory.getbasetemp())
    refused_or_sound(APRIL_PYTHON, json.dumps({"files": openssl}).encode(), tmp_path_factory.getbasetemp())


@given(changes, changes, st.none() | st.text(max_size=30) | odd_text)
@examples(50)
def test_any_entry_is_refused_or_sound(
    tmp_path_factory: pytest.TempPathFactory, python: dict[str, Any], openssl: dict[str, Any], following: str | None
) -> None:
    index = python_index(python_entry("3.13.13", **python), python_entry("3.13.12"), next=following)
    refused_or_sound(index, APRIL_OPENSSL, tmp_path_factory.getbasetemp())
    refused_or_sound(APRIL_PYTHON, openssl_with(**openssl), tmp_path_factory.getbasetemp())


@given(st.binary(max_size=200))
@examples(50)
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    refused_or_sound(content, APRIL_OPENSSL, tmp_path_factory.getbasetemp())
