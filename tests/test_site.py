"""The documentation site, as mkdocs.yml builds it: every page is in it, and a browser loads nothing from another host."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import browser
from tests.checkout import CHECKOUT
from tools import translated_pages

# What a browser loads by itself. A link that a person follows (a href) may lead elsewhere.
LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "object": "data"}
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
LOADED_BY_CSS = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')]*)", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not all(find_spec(name) for name in ("mkdocs", "material", "mkdocs_static_i18n")):
        pytest.skip("the site needs mkdocs-material and mkdocs-static-i18n (the extra `docs`)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """Collects the addresses that a browser loads for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += filter(None, [given.get(LOADS.get(tag, "")), *(given.get("srcset") or "").split(",")])
        self.found += LOADED_BY_CSS.findall(given.get("style") or "")


def loads(page: str) -> list[str]:
    parser = Loads()
    parser.feed(page)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL | re.IGNORECASE)
    return parser.found + [url for style in styles for url in LOADED_BY_CSS.findall(style)]


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = {page: loads(page.read_text("utf-8")) for page in site.rglob("*.html")}
    assert all(len(found) > 3 for found in pages.values())  # each has styles and scripts
    assert not {str(page.relative_to(site)): url for page, found in pages.items() for url in found if ELSEWHERE.match(url)}


def test_no_style_loads_anything_from_another_host(site: Path) -> None:
    styles = {style: LOADED_BY_CSS.findall(style.read_text("utf-8")) for style in site.rglob("*.css")}
    assert styles and not {str(style.relative_to(site)): found for style, found in styles.items() if found}


def test_what_would_be_loaded_from_another_host_is_found() -> None:
    page = (
        '<link rel="preconnect" href="https://a.example/"><script src="//b.example/x.js"></script><img srcset="https://c.example/1 2x">'
        "<style>@import 'https://d.example/'; a{background:url( \"https://e.example/\")}</style>"
        '<p style="background:url(//f.example/)"><a href="https://elsewhere.example/">x</a>'
    )
    assert sorted(re.findall(r"(\w)\.example", " ".join(url for url in loads(page) if ELSEWHERE.match(url)))) == list("abcdef")


def test_every_page_is_in_the_site_in_each_language(site: Path) -> None:
    translated = translated_pages.translated(CHECKOUT / "docs")
    names = {page.stem for page in set((CHECKOUT / "docs").glob("*.md")) - set(translated)}
    names |= {"CONTRIBUTING", "SECURITY", "STYLE", "CHANGELOG"}
    for part in (site, *(site / language for language in translated_pages.LANGUAGES)):
        assert {folder.name for folder in part.iterdir() if (folder / "index.html").is_file()} - set(translated_pages.LANGUAGES) == names
        assert (part / "index.html").is_file()
    for page in translated:
        title = page.read_text("utf-8").partition("\n# ")[2].partition("\n")[0]
        name, language, _ = page.name.split(".")
        assert f"{title}<" in (site / language / name / "index.html").read_text("utf-8"), page
    assert (site / "ps_scripts" / "bootstrap.ps1").read_bytes() == (CHECKOUT / "ps_scripts" / "bootstrap.ps1").read_bytes()


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_chromium_finds_a_message_and_asks_no_other_host(served: str) -> None:
    if lacking := browser.missing():
        pytest.skip(lacking)
    with browser.chromium("", "127.0.0.1") as watched:
        page = watched.page
        page.goto(f"{served}/troubleshooting/")
        page.fill(".md-search__input", "LocalAccountTokenFilterPolicy")
        page.wait_for_selector(".md-search-result__link[href*='troubleshooting']")
    assert {origin for origin in watched.requested if not origin.startswith(("data:", "blob:"))} == {served}
