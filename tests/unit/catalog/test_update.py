"""`nbserver catalog update` as people type it, against the publishers' sites on this machine."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
import tomlkit

from nbserver.catalog import reader
from nbserver.cli import program
from tests.formats import validate
from tests.notebook_server import Forwarder
from tests.publishers import (
    APRIL_OPENSSL,
    APRIL_PYTHON,
    FTP,
    Answer,
    Site,
    digest,
    legacy_entry,
    openssl_entry,
    openssl_index,
    publishers,
    python_entry,
    python_index,
)

OCTOBER_PYTHON = python_index(python_entry("3.14.10"), python_entry("3.13.16"))
OCTOBER_OPENSSL = openssl_index(openssl_entry("3.5.9", size=6100000))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with publishers(tmp_path_factory.mktemp("publishers")) as site:
        yield site


@pytest.fixture
def site(server: Site) -> Site:
    server.publish()
    return server


@dataclass(frozen=True)
class Done:
    returncode: object
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, **variables: str) -> Done:
    """`nbserver catalog update -o site.toml ARGUMENTS` in a folder, with no proxy but one that `variables` name."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {**kept, **variables}, clear=True),
        patch.object(sys, "argv", ["nbserver", "catalog", "update", "-o", "site.toml", *arguments]),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        program.main()
    return Done(ended.value.code, out.getvalue(), err.getvalue())


def mirrored(site: Site) -> list[str]:
    return ["--base-url-python", f"{site.url}python/", "--openssl-index", f"{site.url}openssl.json", "--ca-file", str(site.ca_file)]


def today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


def test_a_new_catalog(site: Site, tmp_path: Path) -> None:
    before = today()
    done = run(tmp_path, *mirrored(site), "--python", "3.13", "--python", "3.14", "--openssl", "3.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:6] == [
        "Python 3.13.13 for x64: added",
        "+ version    3.13.13",
        "+ kind       zip",
        f"+ url        {FTP}3.13.13/python-3.13.13-amd64.zip",
        f"+ sha256     {digest('3.13.13-amd64')}",
        "+ executable python.exe",
    ]
    assert done.stdout.splitlines()[-1] == "site.toml was written. Review it, then set catalog in the inventory"

    text = (tmp_path / "site.toml").read_text("ascii")
    assert text.startswith("# Site catalog, written by `nbserver catalog update`")
    assert "Review it before you use it" in text
    values = tomlkit.parse(text).unwrap()
    validate("catalog", values)
    assert set(values) == {"python", "openssl"}
    loaded, shipped = reader.load(tmp_path / "site.toml"), reader.load()
    for name, version in (("python", "3.13.13"), ("python", "3.14.4"), ("openssl", "3.5.6")):
        ours, theirs = getattr(loaded, name)(version, "x64"), getattr(shipped, name)(version, "x64")
        source = ours.source
        assert re.fullmatch(re.escape(site.url) + r"(python/index-windows|openssl)\.json, read \d{4}-\d\d-\d\d", source)
        assert before <= source[-10:] <= today()
        assert {**vars(ours), "source": ""} == {**vars(theirs), "source": ""}, "what April's indexes say is what was shipped"
    assert loaded.locks == shipped.locks


def test_an_update_tells_what_changes_and_a_second_one_changes_nothing(site: Site, tmp_path: Path) -> None:
    assert run(tmp_path, *mirrored(site), "--python", "3.13", "--python", "3.14").returncode == 0
    april = (tmp_path / "site.toml").read_bytes()
    site.publish(python_index(python_entry("3.14.4"), python_entry("3.13.16")), OCTOBER_OPENSSL)

    dry = run(tmp_path, *mirrored(site), "--python", "3.13", "--python", "3.15", "--dry-run")
    assert dry.returncode == 3, "3.15 is not in the index"
    dry = run(tmp_path, *mirrored(site), "--python", "3.13", "--dry-run")
    assert dry.returncode == 4
    assert (tmp_path / "site.toml").read_bytes() == april
    differences = f"""\
Python 3.13.16 for x64: changed
- version    3.13.13
+ version    3.13.16
- url        {FTP}3.13.13/python-3.13.13-amd64.zip
+ url        {FTP}3.13.16/python-3.13.16-amd64.zip
- sha256     {digest("3.13.13-amd64")}
+ sha256     {digest("3.13.16-amd64")}
OpenSSL 3.5.9 for x64: changed
- version    3.5.6
+ version    3.5.9
- url        https://slproweb.com/download/Win64OpenSSL_Light-3_5_6.msi
+ url        https://slproweb.com/download/Win64OpenSSL_Light-3_5_9.msi
- sha256     {digest("3.5.6")}
+ sha256     {digest("3.5.9")}
- size       6045696
+ size       6100000
"""
    assert re.sub(r"[-+] source .*\n", "", dry.stdout).startswith(differences + "Python 3.14.4 for x64: removed\n- version    3.14.4\n")
    assert dry.stdout.endswith("site.toml was not written (dry run)\n")

    done = run(tmp_path, *mirrored(site), "--python", "3.13")
    assert done.returncode == 0
    assert done.stdout.startswith(dry.stdout.rpartition("site.toml")[0])
    written = (tmp_path / "site.toml").read_bytes()
    (tmp_path / "site.toml").write_bytes(written.replace(today().encode(), b"2020-01-01") + b"# looked at by Anna\n")
    reviewed = (tmp_path / "site.toml").read_bytes()
    assert reviewed != written
    before = (tmp_path / "site.toml").stat()
    for arguments in (["--dry-run"], []):
        again = run(tmp_path, *mirrored(site), *arguments)
        assert (again.returncode, again.stdout) == (0, "site.toml is up to date\n")
        assert (tmp_path / "site.toml").read_bytes() == reviewed
        after = (tmp_path / "site.toml").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]


def test_a_dry_run_of_a_new_file(site: Site, tmp_path: Path) -> None:
    assert run(tmp_path, *mirrored(site), "--dry-run").returncode == 4
    assert not list(tmp_path.iterdir())


def test_the_publishers_own_indexes_are_the_default(site: Site, tmp_path: Path) -> None:
    """Through a proxy that leads every name here; github.com answers as it does, with a redirect."""
    raw = "https://raw.githubusercontent.com/slproweb/opensslhashes/master/win32_openssl_hashes.json"
    asked = "https://github.com/slproweb/opensslhashes/raw/master/win32_openssl_hashes.json"
    site.answers.clear()
    site.answers[f"{FTP}index-windows.json"] = Answer(python_index(python_entry("3.14.4"), next="index-windows-recent.json"))
    site.answers[f"{FTP}index-windows-recent.json"] = Answer(
        python_index(python_entry("3.13.12"), python_entry("3.13.13"), next="index-windows-legacy.json")
    )
    site.answers[f"{FTP}index-windows-legacy.json"] = Answer(python_index(legacy_entry("3.8.10"), legacy_entry("3.12.1")))
    site.answers[f"{FTP}3.14.2/windows-3.14.2.json"] = Answer(python_index(python_entry("3.14.2", "win32"), python_entry("3.14.2")))
    site.answers[asked] = Answer(status=302, headers={"Location": raw})
    site.answers[raw] = Answer(APRIL_OPENSSL)
    with Forwarder(site.port, proxy=True) as proxy:
        variables = {"HTTPS_PROXY": f"http://someone:hunter2@127.0.0.1:{proxy.port}"}
        done = run(tmp_path, "--ca-file", str(site.ca_file), "--python", "3.13", "--python", "3.14.2", **variables)
        refused = run(tmp_path, "--python", "3.13", **variables)
        other = run(tmp_path, "--ca-file", str(site.other_ca_file), **variables)
        environment = run(tmp_path, REQUESTS_CA_BUNDLE=str(site.ca_file), **variables)
    assert done.returncode == 0, done.stderr
    values = tomlkit.parse((tmp_path / "site.toml").read_text()).unwrap()
    assert [(x["version"], x["source"].partition(",")[0]) for x in [*values["python"], *values["openssl"]]] == [
        ("3.13.13", f"{FTP}index-windows-recent.json"),
        ("3.14.2", f"{FTP}3.14.2/windows-3.14.2.json"),
        ("3.5.6", asked),
    ]
    for untrusted in (refused, other, environment):
        assert untrusted.returncode == 3
        assert (
            f"{FTP}index-windows.json: the server's certificate is not trusted: unable to get local issuer certificate" in untrusted.stderr
        )
        assert "hunter2" not in untrusted.stderr + untrusted.stdout


@pytest.mark.parametrize(
    ("python", "openssl", "words"),
    [
        (APRIL_PYTHON[:-40], APRIL_OPENSSL, "python/index-windows.json: could not use the index: this is not valid JSON: "),
        (b"<!DOCTYPE html><title>Log in</title>", APRIL_OPENSSL, "expected an index in JSON, found a web page"),
        (
            APRIL_PYTHON,
            openssl_index(openssl_entry("3.5.6", url="https://evil.example/Win64OpenSSL_Light-3_5_6.msi")),
            "is not valid: must begin with",
        ),
    ],
)
def test_an_index_that_is_not_one(site: Site, tmp_path: Path, python: bytes, openssl: bytes, words: str) -> None:
    site.publish(python, openssl)
    done = run(tmp_path, *mirrored(site))
    assert (done.returncode, done.stdout) == (3, "")
    assert words in done.stderr and "The catalog was not written" in done.stderr
    assert done.stderr.startswith(f"nbserver: {site.url}")
    assert not list(tmp_path.iterdir())


def test_a_downgrade_is_refused(site: Site, tmp_path: Path) -> None:
    site.publish(OCTOBER_PYTHON, OCTOBER_OPENSSL)
    assert run(tmp_path, *mirrored(site)).returncode == 0
    october = (tmp_path / "site.toml").read_bytes()
    site.publish(APRIL_PYTHON, OCTOBER_OPENSSL)
    for arguments in ([], ["--dry-run"], ["--python", "3.14", "--python", "3.13"]):
        done = run(tmp_path, *mirrored(site), *arguments)
        assert done.returncode == 3
        assert (
            f"{site.url}python/index-windows.json: the index offers Python 3.13.13 for x64, but site.toml already has 3.13.16"
            in done.stderr
        )
        assert (tmp_path / "site.toml").read_bytes() == october
    done = run(tmp_path, *mirrored(site), "--allow-downgrade")
    assert done.returncode == 0
    assert "- version    3.13.16\n+ version    3.13.13" in done.stdout
    assert reader.load(tmp_path / "site.toml").python("3.13", "x64").version == "3.13.13"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--python", "3"], "--python: expected a version such as 3.13 or 3.13.16"),
        (["--python", "3.13.16/../../x"], "--python: expected a version such as"),
        (["--openssl", "3.5.6.1"], "--openssl: expected a version such as"),
        (["--architecture", "x86"], "'x86' is not one of 'x64', 'arm64'"),
        (
            ["--base-url-python", "http://mirror.example.com/python/"],
            "--base-url-python: the URL is not valid: must begin with https://",
        ),
        (
            ["--openssl-index", "https://u:hunter2@mirror.example.com/x.json"],
            "--openssl-index: the URL is not valid: must not contain",
        ),
        (["--ca-file", "missing.pem"], "File 'missing.pem' does not exist"),
        (["--ca-file", "empty.pem"], "empty.pem: the file contains no PEM certificate"),
    ],
)
def test_a_wrong_option(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty.pem").write_text("")
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr and "hunter2" not in done.stderr
    assert not (tmp_path / "site.toml").exists()


def test_a_file_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    done = run(tmp_path, *mirrored(site), "-o", "missing/site.toml")
    assert done.returncode == 2
    assert "missing/site.toml: could not write the file (No such file or directory). Choose another file with -o" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[python]]\nversion = 3.13\n", "site.toml:2: python[1].version: expected text, found a number"),
        ('# ours\n[defaults]\npython = "3.14"\n', "site.toml:2: the file contains [defaults], which would be lost"),
    ],
)
def test_a_file_of_somebody_else_is_left_alone(site: Site, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    done = run(tmp_path, *mirrored(site))
    assert done.returncode == 2
    assert words in done.stderr
    assert (tmp_path / "site.toml").read_text() == text
    assert not site.asked, "no index is read for nothing"


def test_the_answer_as_json(site: Site, tmp_path: Path) -> None:
    given = [*mirrored(site), "--python", "3.13", "--openssl", "3.5", "--json"]
    done = run(tmp_path, *given, "--dry-run")
    answer = json.loads(done.stdout)
    validate("answer", answer)
    assert done.returncode == 4 and not answer["written"] and not (tmp_path / "site.toml").exists()
    assert [entry["change"] for entry in answer["differences"]] == ["added"] * 2
    python = answer["differences"][0]
    assert python["before"] is None and python["after"]["sha256"] == digest("3.13.13-amd64")
    written, again = (json.loads(run(tmp_path, *given).stdout) for _ in range(2))
    assert (written["written"], again["written"], again["differences"]) == (True, False, [])
