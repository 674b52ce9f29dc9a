"""Which hosts of the Internet the scripts name: those of the catalog, and never an index of packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, SOURCE

SCRIPTS = sorted(path for folder in ("ps_scripts", "linux_scripts") for path in (CHECKOUT / folder).rglob("*.*"))
CATALOG = SOURCE / "nbserver" / "catalog" / "data" / "windows.toml"
# A namespace of a format, pages that a comment names as its source, and words of a message. Nothing connects to them.
NOT_CONTACTED = {"schemas.microsoft.com", "learn.microsoft.com", "jrsoftware.org", "pip.pypa.io", "python.org"}
HOST = re.compile(r"(?<![\w.$@\\-])((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|dev|edu|info|io|ms|net|org))(?![\w.-]*[\w(-])")


def host_names(text: str) -> set[str]:
    found = set(HOST.findall(text)) | {host.lower() for host in re.findall(r"https?://([A-Za-z0-9.-]+\.[A-Za-z]{2,})", text)}
    return {host for host in found if host != "example.com" and not host.endswith((".example.com", ".invalid"))}


def named_by_the_catalog() -> set[str]:
    return set(re.findall(r'^url = "https://([^/"]+)/', CATALOG.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_script_names_no_host_that_the_catalog_does_not_name(path: Path) -> None:
    assert host_names(path.read_text("utf-8")) <= named_by_the_catalog() | NOT_CONTACTED


def test_a_host_would_be_found() -> None:
    text = "HOSTS=(files.example.org mirror.example.com) 'index.test.io/simple' https://www.example.net/a [IO.File]::Open $a.net x.com.au"
    assert host_names(text) == {"files.example.org", "index.test.io", "www.example.net"}
