"""The names of the modes: those in the scripts, in the schemas, and in tables of words are those of base/modes.py."""

from __future__ import annotations

import re
from typing import Any

from nbserver.base.modes import BY_HAND, CHANGING, MODES, READING
from nbserver.run.approved import MODES as APPROVED
from nbserver.view.summary import DONE_WORDS, OK_WORDS
from tests.checkout import CHECKOUT
from tests.formats import schema
from tests.golden import FOLDER as GOLDEN

RUNS = (*READING, *CHANGING)


def source(folder: str, ending: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted((CHECKOUT / folder).rglob(f"*.{ending}")))


def enum(kind: str, *path: str) -> list[str]:
    found: Any = schema(kind)
    for name in path:
        found = found[name]
    values: list[str] = found["properties"]["mode"]["enum"]
    return values


def test_a_mode_reads_or_changes() -> None:
    assert len({*READING, *CHANGING, "events"}) == len(MODES) == len(RUNS) + 1
    assert set(BY_HAND) <= set(RUNS)


def test_the_schemas_have_the_same_modes() -> None:
    assert set(enum("run")) == set(enum("event", "$defs", "run_started")) == set(RUNS)
    assert set(enum("event", "$defs", "status", "properties", "last")) == set(CHANGING)
    assert set(enum("event", "$defs", "kept", "properties", "run")) == set(CHANGING)
    assert set(enum("evidence_log")) == {*MODES, "verify"}
    lines = schema("envelope")["items"]["pattern"]
    assert set(re.findall("mode [(]([a-z|-]+)[)]", lines)[0].split("|")) == set(MODES)
    approvals = schema("approval")["properties"]["modes"]["description"]
    assert set(re.findall("`([a-z-]+)`", approvals)) == set(APPROVED)


def test_the_scripts_have_the_same_modes() -> None:
    bash, powershell = source("linux_scripts", "sh"), source("ps_scripts", "ps1")
    assert names(re.findall(r"declare -A MODES=\((.*)\)", bash), r"\[([a-z-]+)\]") | set(re.findall(r"MODES\['([a-z-]+)'\]=", bash)) == {
        *MODES
    } - {"request"}
    assert names(re.findall(r"CHANGING_MODES\+?=\((.*)\)", bash), "[a-z-]+") == set(CHANGING) - {"request"}
    assert names(re.findall(r"\$Modes = @\{(.*)\}", powershell), "([a-z]+) =") | set(
        re.findall(r"^\$Modes(?:\.|\[')([a-z-]+)(?:'\])? = \{", powershell, re.MULTILINE)
    ) == set(MODES)
    assert names(re.findall(r"\$ChangingModes \+?= (.*)", powershell), "'([a-z-]+)'") == set(CHANGING)


def test_the_header_of_a_script_lists_the_modes_that_it_has_by_hand() -> None:
    windows, linux = (GOLDEN / "most.ps1").read_text("utf-8"), (GOLDEN / "linux-most.sh").read_text("utf-8")
    assert tuple(re.findall("'([a-z-]+)'", re.findall(r"ValidateSet\((.*)\)\]\n    \[string\]\$Mode", windows)[0])) == BY_HAND
    listed = set(re.findall("^#   powershell .* -Mode ([a-z-]+)", windows, re.MULTILINE))
    assert listed | {"test", "request"} == set(BY_HAND)
    assert set(re.findall(r"^#   sudo bash \S+ +([a-z-]+)  ", linux, re.MULTILINE)) == listed


def test_the_summary_has_words_for_what_each_changing_mode_has_done() -> None:
    assert {*DONE_WORDS, *OK_WORDS} <= set(RUNS) and not DONE_WORDS.keys() & OK_WORDS.keys()
    assert set(CHANGING) - {*DONE_WORDS, *OK_WORDS} == {"apply"}


def names(texts: list[str], pattern: str) -> set[str]:
    return {name for text in texts for name in re.findall(pattern, text)}
