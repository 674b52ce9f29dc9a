"""The second tier's parts, its state and its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, TESTS
from tools import second_tier
from tools.second_tier import HEAD, PARTS, Row

ROW = Row("2026-11-28", "0123456789ab", "Debian 12, 2 CPUs", "stories", 187, "ok")


def test_every_test_is_in_a_part() -> None:
    named = [CHECKOUT / path for part in PARTS for path in part.paths]
    files = set(TESTS.rglob("test_*.py"))
    assert files == {file for file in files if any(path == file or path in file.parents for path in named)}
    named += [CHECKOUT / part.program for part in PARTS]
    assert all(path.exists() for path in named) and len({part.name for part in PARTS}) == len(PARTS)


def test_what_has_passed_at_this_commit_is_not_done_again() -> None:
    state = second_tier.state_of("abc", {"stories", "faults"})
    done = second_tier.passed(state, "abc")
    assert done == {"stories", "faults"}
    assert [part.name for part in second_tier.left(done)] == [part.name for part in PARTS if part.name not in done]


@pytest.mark.parametrize("state", ["", "{", "[]", "null", second_tier.state_of("another", {"stories"})])
def test_a_state_of_another_commit_or_none_has_nothing_passed(state: str) -> None:
    assert second_tier.passed(state, "abc") == set()


def test_a_row_comes_to_the_end_and_replaces_its_own_kind() -> None:
    text = "# Title\n\n" + HEAD
    one = second_tier.with_row(text, replace(ROW, result="failed"))
    two = second_tier.with_row(one, replace(ROW, part="faults"))
    three = second_tier.with_row(two, ROW)
    assert one == text + "| 2026-11-28 | 0123456789ab | Debian 12, 2 CPUs | stories | 3 min 07 s | failed |\n"
    assert [line.split(" | ")[3:] for line in three.splitlines()[4:]] == [
        ["faults", "3 min 07 s", "ok |"],
        ["stories", "3 min 07 s", "ok |"],
    ]
    assert second_tier.with_row(three, replace(ROW, commit="ba9876543210")).startswith(three)


def test_the_document_has_the_table_that_rows_are_for() -> None:
    assert HEAD in (CHECKOUT / "docs" / "tested.md").read_text("utf-8")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (187, "3 min 07 s"), (3900, "1 h 05 min")])
def test_a_duration(seconds: float, words: str) -> None:
    assert second_tier.duration(seconds) == words


def test_a_machine_is_told_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "release").write_text('NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    (tmp_path / "memory").write_text("MemTotal:       24610000 kB\nMemFree: 1 kB\n")
    said = second_tier.machine(2, tmp_path / "release", tmp_path / "memory")
    assert said.startswith("Debian GNU/Linux 12 (bookworm), ") and said.endswith(", 2 CPUs, 23 GB")
    assert second_tier.machine(1, tmp_path / "none", tmp_path / "none").endswith(", 1 CPUs")
