"""`nbserver catalog check` as people type it, against the publishers' sites on this machine."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from nbserver.catalog import check, linux_lock, reader, shipped_sets, support
from nbserver.catalog.check import LockFile
from nbserver.catalog.osv import ECOSYSTEM
from nbserver.cli import program
from nbserver.commands import catalog_check
from tests.formats import validate
from tests.notebook_server import Forwarder
from tests.publishers import Answer, Site, openssl_entry, openssl_index, publishers, python_entry, python_index

SHIPPED = reader.load()
OSV = {
    "id": "GHSA-1",
    "aliases": ["CVE-2026-1"],
    "summary": "Something is wrong",
    "affected": [
        {
            "package": {"ecosystem": ECOSYSTEM, "name": "tornado"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with publishers(tmp_path_factory.mktemp("publishers")) as site:
        yield site


@pytest.fixture
def site(server: Site) -> Site:
    """Every file that hosts get by default is there, and no publisher has a newer one."""
    server.publish(
        python_index(python_entry("3.13.15"), python_entry("3.12.10")),
        openssl_index(openssl_entry("3.5.6")),
    )
    for entry in SHIPPED.downloads:
        server.answers[entry.url] = Answer(headers={} if entry.size is None else {"Content-Length": str(entry.size)})
    return server


@dataclass(frozen=True)
class Done:
    code: object
    out: str
    err: str

    def findings(self, state: str) -> list[dict[str, Any]]:
        value = json.loads(self.out)
        validate("answer", value)
        return [one for one in value["findings"] if one["state"] == state]


def run(*arguments: str, proxy: str | None = None) -> Done:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, kept | ({"HTTPS_PROXY": proxy} if proxy else {}), clear=True),
        patch.object(sys, "argv", ["nbserver", "catalog", "check", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        program.main()
    return Done(ended.value.code, out.getvalue(), err.getvalue())


def checked(site: Site, *arguments: str) -> Done:
    """With the publishers' names, through a proxy that leads to this machine."""
    mirrors = ["--base-url-python", f"{site.url}python/", "--openssl-index", f"{site.url}openssl.json", "--ca-file", str(site.ca_file)]
    with Forwarder(site.port, proxy=True) as proxy:
        return run(*mirrors, "--json", "--max-age", "10000", *arguments, proxy=f"http://127.0.0.1:{proxy.port}")


def test_nothing_needs_attention(site: Site) -> None:
    done = checked(site)
    assert (done.code, done.findings("attention"), done.findings("unknown")) == (0, [], [])
    codes = {one["code"] for one in done.findings("ok")}
    assert codes == {"catalog-age", "lock-age", "support-until", "source-answers"}
    assert not any(one["todo"] for one in done.findings("ok")), "what is in order has no remedy"
    assert sum(url.startswith("HEAD ") for url in site.asked) == len({entry.url for entry in check.used(SHIPPED)}) < len(SHIPPED.downloads)


def test_what_publishers_replaced(site: Site) -> None:
    openssl = SHIPPED.openssl(None, "x64")
    vc_redist = SHIPPED.vc_redist("x64")
    site.answers[openssl.url] = Answer(status=404)
    site.answers[vc_redist.url] = Answer(headers={"Content-Length": "7"})
    site.answers["/openssl.json"] = Answer(openssl_index(openssl_entry("3.5.9")))
    site.answers["/python/index-windows.json"] = Answer(python_index(python_entry("3.13.16"), python_entry("3.12.10")))
    done = checked(site)
    assert done.code == 4
    found = {(one["code"], one["values"].get("version") or one["values"]["url"]) for one in done.findings("attention")}
    assert found == {
        ("source-gone", openssl.url),
        ("source-replaced", vc_redist.url),
        ("program-replaced", "3.5.9"),
        ("program-replaced", "3.13.16"),
    }


def test_what_could_not_be_checked(site: Site) -> None:
    site.answers[SHIPPED.openssl(None, "x64").url] = Answer(status=503)
    site.answers["/openssl.json"] = Answer(b"<html>")
    done = checked(site)
    assert done.code == 3 and {one["code"] for one in done.findings("unknown")} == {"source-status", "releases-not-checked"}
    assert "The catalog was not written" not in done.out


def test_known_vulnerabilities(tmp_path: Path) -> None:
    (tmp_path / "osv.json").write_text(json.dumps(OSV))
    done = run("--offline", "--json", "--max-age", "10000", "--osv", str(tmp_path / "osv.json"))
    found = done.findings("attention")
    assert done.code == 4 and {(one["code"], one["subject"]) for one in found} == {("package-vulnerable", "tornado")}
    assert {(one["values"]["fixed"], one["values"]["ids"]) for one in found} == {("99", "CVE-2026-1, GHSA-1")}
    assert any("linux.txt" in one["values"]["locks"] for one in found) and json.loads(done.out)["osv_records"] == 1
    assert "windows-x64-python3.8.txt" not in done.out
    everything = run("--offline", "--json", "--all", "--osv", str(tmp_path / "osv.json"))
    assert "windows-x64-python3.8.txt" in everything.out and "support-ended" in everything.out


def test_the_lock_of_a_site(tmp_path: Path) -> None:
    (tmp_path / "osv.json").write_text(json.dumps([OSV]))
    (tmp_path / "site.txt").write_text(f"# of 2026-11-01\ntornado==99.1 \\\n    --hash=sha256:{'0' * 64}\n")
    given = ["--offline", "--json", "--osv", str(tmp_path / "osv.json"), "--lock", str(tmp_path / "site.txt")]
    assert run(*given, "--max-age", "10000").code == 0
    done = run(*given, "--max-age", "1")
    assert {one["subject"] for one in done.findings("attention")} == {"shipped catalog", str(tmp_path / "site.txt")}


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ("<html>", 2, "osv.json: the file does not contain valid OSV data: the file is not valid JSON"),
        ("[]", 2, "the OSV data contains no records for Python packages"),
    ],
)
def test_data_that_is_not_used(tmp_path: Path, data: str, code: int, words: str) -> None:
    (tmp_path / "osv.json").write_text(data)
    done = run("--offline", "--osv", str(tmp_path / "osv.json"))
    assert (done.code, done.out) == (code, "") and words in done.err


def test_options_are_checked_before_a_server_is_asked(site: Site, tmp_path: Path) -> None:
    site.asked.clear()
    assert run("--base-url-python", "ftp://example.com/").code == 2
    assert run("--catalog", str(tmp_path / "missing.toml")).code == 2
    assert not site.asked


def test_what_a_person_reads() -> None:
    done = run("--offline", "--max-age", "1")
    lines = done.out.splitlines()
    assert (
        done.code == 4
        and lines[0].startswith("attention  shipped catalog: the catalog is ")
        and lines[1].startswith("           Run nbserver catalog update")
    )
    assert sum("install a newer release" in line for line in lines) == 1, "once for all locks"
    assert lines[-1].endswith("0 unknown; known vulnerabilities were not checked (--osv)")
    assert len(run("--offline", "--verbose").out.splitlines()) > len(run("--offline").out.splitlines())


def test_nothing_needs_attention(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = catalog_check.Wanted(offline=True, most_days=10_000)
    assert catalog_check.run(wanted, datetime.date(2026, 11, 30), as_json=False, verbose=False) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert ", 0 needing attention, 0 unknown" in line


def test_days() -> None:
    """The day of the limit, and what has no date."""
    day = datetime.date(2026, 11, 29)
    states = [check.age("x", made, day, 10).state for made in ("2026-11-19", "2026-11-18", None, "2026-19-39")]
    assert states == ["ok", "attention", "ok", "ok"]
    (python,) = (entry for entry in SHIPPED.downloads if entry.version == "3.13.16")
    ends = {"2029-10-31": "attention", "2029-11-01": "attention", "2029-08-01": "ok", "2029-08-03": "attention"}
    for text, state in ends.items():
        assert [one.state for one in check.ends([python], support.load(), datetime.date.fromisoformat(text))] == [state], text


def test_every_branch_of_the_shipped_catalog_has_an_end_of_support() -> None:
    table = support.load()
    missing = {(entry.name, entry.version) for entry in SHIPPED.downloads if entry.name != "vc_redist" and support.of(entry, table) is None}
    assert not missing


def test_every_shipped_lock_has_a_date_and_packages() -> None:
    locks = check.locks(SHIPPED, [], linux_lock.load(), everything=True)
    assert len(locks) == len(SHIPPED.locks) + 1 + len(shipped_sets.load_all())
    used = {lock.name for lock in check.locks(SHIPPED, check.used(SHIPPED), linux_lock.load())}
    assert {"linux.txt", "windows-x64-python3.13.txt", "science/windows-x64-python3.13.txt", "science/linux-arm64.txt"} <= used
    assert not any("python3.8" in name for name in used)
    assert all(isinstance(lock, LockFile) and lock.made and ("tornado" in dict(lock.packages)) for lock in locks)
    assert all(len(lock.packages) > 50 and all(version[0].isdigit() for _, version in lock.packages) for lock in locks)
