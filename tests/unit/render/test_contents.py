"""The table of contents in a script's header."""

from __future__ import annotations

import re

import pytest

from nbserver.render.script import Script
from tests import golden

BLOCKS = {
    "parameters": "param(",
    "settings": ("$Settings", "NB_"),
    "lock": ("$Lock", "LOCK=("),
    "welcome": ("$FirstPage", "# shellcheck"),
}
ROW = re.compile(r"# +(\d+)  (\S.*?\S)(?:  +(\S.*))?")


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_each_line_of_the_contents_points_to_its_part(script: Script) -> None:
    lines = script.text.split("\n")
    rows = _rows(script)
    assert len(rows) > 40
    for number, title, sentence in rows:
        found = lines[number - 1]
        if title in BLOCKS:
            assert found.startswith(BLOCKS[title])
        else:
            assert found.startswith(f"# ---- {title} --")
            assert lines[number] == f"# {sentence}"


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_every_part_is_in_the_contents_once(script: Script) -> None:
    parts = re.findall(r"^# ---- ((?:prelude: |step: )?\w+) -+$", script.text, re.MULTILINE)
    titles = [title for _, title, _ in _rows(script)]
    assert [title for title in titles if title not in BLOCKS] == parts
    assert [part.removeprefix("step: ") for part in parts if part.startswith("step: ")] == list(script.steps)


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_the_header_fits_into_120_columns(script: Script) -> None:
    header = script.text.split("\n\n")[0]
    assert [line for line in header.split("\n") if len(line) > 120] == []


def test_what_the_settings_do_not_use_is_listed() -> None:
    listed = {}
    for script in golden.scripts():
        _, _, unused = script.text.split("\n\n")[0].partition("# Not used with these settings:\n")
        listed[script.host] = dict(re.findall(r"^# +(\S+: \w+) +(\S.*)$", unused, re.MULTILINE))
    assert listed["most"]["step: firewall"] == "skipped in the inventory"
    assert "step: firewall" not in listed["least"]
    assert listed["linux-most"]["step: firewall"] == "skipped in the inventory"


def _rows(script: Script) -> list[tuple[int, str, str]]:
    """(line, title, sentence) of each row."""
    found, kind = [], ""
    _, _, table = script.text.split("\n\n")[0].partition(
        "# Contents, by line. To follow a run, begin with main: it runs the steps, which use the prelude.\n"
    )
    for line in table.partition("# Not used")[0].splitlines():
        row = ROW.fullmatch(line)
        if row is None:
            kind = {"# Prelude, which the steps use:": "prelude: ", "# Steps, in the order in which they run:": "step: "}[line]
        else:
            found.append((int(row[1]), row[2] if row[2] == "main" else kind + row[2], row[3]))
    return found
