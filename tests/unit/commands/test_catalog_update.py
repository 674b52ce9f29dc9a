"""`nbserver catalog update --locks`: the locks of an inventory are renewed with the catalog, or nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from nbserver.cli import program
from tests.formats import validate
from tests.package_index import put_wheel
from tests.publishers import Site as Publishers
from tests.publishers import publishers
from tests.unit.commands.test_lock import WINDOWS, Site, site

__all__ = ["site"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishers]:
    with publishers(tmp_path_factory.mktemp("publishers")) as made:
        made.publish()
        yield made


def update(site: Site, server: Publishers, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, list[str]]:
    """The exit code, and the lines of standard output."""
    where = ["-o", str(site.folder / "site.toml"), "--locks", str(site.folder / "nbserver.toml")]
    mirrors = [
        "--base-url-python",
        f"{server.url}python/",
        "--openssl-index",
        f"{server.url}openssl.json",
        "--ca-file",
        str(server.ca_file),
    ]
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr("sys.argv", ["nbserver", "catalog", "update", *where, *mirrors, *arguments])
        program.main()
    return ended.value.code, capsys.readouterr().out.splitlines()


def test_both_are_renewed_or_nothing(site: Site, server: Publishers, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = site.folder / "site.toml"
    put_wheel(site.packages, "pandas", "3.1")
    site.inventory('packages.include = ["pandas"]', WINDOWS)
    site.run()
    put_wheel(site.packages, "pandas", "3.2")

    code, lines = update(site, server, capsys, "--dry-run", "--json")
    answers = [json.loads(line) for line in lines]
    for answer in answers:
        validate("answer", answer)
    assert (code, [answer["event"] for answer in answers]) == (4, ["catalog", "locked"])
    assert not catalog.exists() and "pandas==3.1 " in site.lock("windows")

    code, lines = update(site, server, capsys)
    assert code == 0 and any("site.toml was written" in line for line in lines) and "  pandas 3.1 -> 3.2" in lines
    assert catalog.exists() and "pandas==3.2 " in site.lock("windows")
    assert update(site, server, capsys, "--dry-run")[0] == 0

    catalog.unlink()
    site.inventory('packages.include = ["there-is-no-such-package"]', WINDOWS)
    assert update(site, server, capsys)[0] in (2, 3) and not catalog.exists()
