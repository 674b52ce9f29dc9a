"""What the pages say that a change elsewhere could make wrong: whole inventories, and how large something is."""

from __future__ import annotations

import configparser
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from nbserver.export import launcher
from nbserver.inventory import reader
from tests.checkout import CHECKOUT

PAGES = sorted(page for page in (CHECKOUT / "docs").glob("*.md") if page.name != "messages.md")
BLOCK = re.compile(r"(?:^ {4}.*\n|^\n)+", re.MULTILINE)
PLACEHOLDERS = {'host_key = "SHA256:..."': f'host_key = "SHA256:{"A" * 43}"', "SHA256:0011...": f"SHA256:{'00' * 32}"}


def inventories() -> list[tuple[str, str]]:
    """Return each inventory of the pages in which all hosts have a system: the name of the page, and the text."""
    found = []
    for page in [CHECKOUT / "README.md", *PAGES]:
        for block in BLOCK.findall(page.read_text("utf-8")):
            text = textwrap.dedent(block)
            for placeholder, value in PLACEHOLDERS.items():
                text = text.replace(placeholder, value)
            if re.match(r"\s*(hosts_from .*\s*)?\[(hosts|defaults)", text):
                hosts, defaults = tomllib.loads(text).get("hosts", {}), tomllib.loads(text).get("defaults", {})
                if hosts and all({"system", "scope"} & {*host, *defaults} for host in hosts.values()):
                    found.append((page.name, text))
    return found


@pytest.mark.parametrize(("page", "text"), inventories())
def test_an_inventory_on_a_page_is_accepted(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_text(text, "utf-8")
    reader.load(path)


def test_a_bootstrap_has_as_many_lines_as_its_page_says() -> None:
    page = " ".join((CHECKOUT / "docs" / "bootstrap.md").read_text("utf-8").split())
    found = re.findall(r"\]\(\.\./(\w+/[\w.-]+)\)[^()]*?(\d+) lines long", page)
    assert len(found) == 3
    for name, lines in found:
        assert (CHECKOUT / name).read_text("ascii").count("\n") == int(lines), name


@pytest.mark.parametrize(
    ("extension", "golden", "words"), [("ps1", "least.ps1", "about 180 KB"), ("sh", "linux-least.sh", "(Linux: 150 KB)")]
)
def test_an_exported_script_is_as_large_as_its_page_says(extension: str, golden: str, words: str) -> None:
    size = len(launcher.launcher(extension)) + len(launcher.packed((CHECKOUT / "tests" / "golden" / golden).read_bytes()))
    assert words in (CHECKOUT / "docs" / "export.md").read_text("utf-8")
    assert abs(size / 1000 - int("".join(filter(str.isdigit, words)))) < 10, size


def test_each_dependency_has_its_reason() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg", "utf-8")
    wanted = [line for line in setup["options"]["install_requires"].split("\n") if line and not line.startswith("#")]
    table = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8").partition("## Dependencies")[2]
    assert re.findall(r"^\| ([\w-].*?[<>=].*?) \|", table, re.MULTILINE) == wanted


ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def outside_of_its_item(text: str) -> list[str]:
    """Return the lines that the site shows outside of the list item to which they belong, or not as code.

    After an empty line, the text of an item is indented by four spaces, and code by eight. After such text, an empty line is before
    the next item.
    """
    found = []
    in_list = fenced = in_further_text = False
    previous = ""
    for line in text.splitlines():
        fenced = fenced != line.lstrip().startswith("```")
        indent = len(line) - len(line.lstrip(" "))
        if line.strip() and not fenced:
            if indent == 0:
                in_list = bool(ITEM.match(line))
                found += [line] if in_list and previous and in_further_text else []
                in_further_text = False
            elif in_list and not previous:
                in_further_text = True
                found += [line] if indent < 8 and indent != 4 else []
        previous = line.strip()
    return found


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_what_belongs_to_a_list_item_is_shown_in_it(page: Path) -> None:
    assert outside_of_its_item(page.read_text("utf-8")) == []


def test_a_line_outside_of_its_item_would_be_found() -> None:
    assert outside_of_its_item("1. a\n\n   b\n2. c\n\n      d\n") == ["   b", "2. c", "      d"]
    assert outside_of_its_item("1.  a\n    a\n\n    b\n\n        c\n\n2.  d\n3.  e\n\nf\n") == []
