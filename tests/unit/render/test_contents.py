"""The table of contents in a script's header."""

from __future__ import annotations

import re

import pytest

from nbserver.render.script import Script
from tests import golden

ROW = re.compile(r"# +(\d+)  (\S.*?\S)(?:  +(\S.*))?")


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_each_line_of_the_contents_points_to_its_part(script: Script) -> None:
    lines = script.text.split("\n")
    rows = [match.groups() for line in _table(lines) if (match := ROW.fullmatch(line))]
    assert len(rows) > 40
    for number, title, sentence in rows:
        found = lines[int(number) - 1]
        if title in ("parameters", "settings", "lock"):
            assert found.startswith({"parameters": "param(", "settings": ("$Settings", "NB_"), "lock": ("$Lock", "LOCK=(")}[title])
        else:
            assert found.startswith(f"# ---- {title} --")
            assert lines[int(number)] == f"# {sentence}"


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_every_part_is_in_the_contents_once(script: Script) -> None:
    parts = re.findall(r"^# ---- ((?:prelude: |step: )?\w+) -+$", script.text, re.MULTILINE)
    titles = [match[2] for line in _table(script.text.split("\n")) if (match := ROW.fullmatch(line))]
    assert [title for title in titles if title not in ("parameters", "settings", "lock")] == parts
    assert [part.removeprefix("step: ") for part in parts if part.startswith("step: ")] == list(script.steps)


@pytest.mark.parametrize("script", golden.scripts(), ids=lambda script: script.file_name)
def test_the_header_fits_into_120_columns(script: Script) -> None:
    header = script.text.split("\n\n")[0]
    assert max(map(len, header.split("\n"))) <= 120


def test_what_the_settings_do_not_use_is_listed() -> None:
    listed = {}
    for script in golden.scripts():
        _, _, unused = script.text.split("\n\n")[0].partition("# Not used with these settings:\n")
        listed[script.host] = dict(re.findall(r"^# +(\S+: \w+) +(\S.*)$", unused, re.MULTILINE))
    assert listed["most"]["step: firewall"] == "skipped in the inventory"
    assert "step: firewall" not in listed["least"]
    assert listed["linux-most"]["step: firewall"] == "skipped in the inventory"


def _table(lines: list[str]) -> list[str]:
    begin = lines.index("# Contents, by line:")
    end = next(number for number, line in enumerate(lines) if number > begin and not line.startswith("#  "))
    return lines[begin + 1 : end]
