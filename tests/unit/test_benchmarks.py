"""What the benchmarks compute: the times in a journal, the tables and their ratios, what counts as a refused value."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if os.name != "posix":
    pytest.skip("the benchmarks of Linux hosts run on Linux", allow_module_level=True)

from benchmarks.columns import columns
from benchmarks.fleet.results import further_host
from benchmarks.fleet.results import table as fleet_table
from benchmarks.install.__main__ import order
from benchmarks.install.installation import Installation
from benchmarks.install.results import Results as InstallResults
from benchmarks.install.results import table as install_table
from benchmarks.install.timeline import timeline
from benchmarks.psrp.measure import Run as PsrpRun
from benchmarks.psrp.results import MEASURES
from benchmarks.psrp.results import Results as PsrpResults
from benchmarks.psrp.results import Row as PsrpRow
from benchmarks.psrp.table import table as psrp_table
from benchmarks.ssh import floor
from benchmarks.ssh.checks import all_wrong, missed, named_as_different
from benchmarks.ssh.measure import Run, pss, usage
from benchmarks.ssh.page import page
from benchmarks.ssh.peers import ansible_tasks
from benchmarks.ssh.results import Block, Results, Row
from benchmarks.ssh.table import table
from tests.linux.parts import require_bash
from tests.tier import examples

TABLE = {
    "access /nbserver-no-such-folder": "root:root 700",
    "contents /nbserver-no-such-folder/file": "0" * 64,
    "package nbserver-no-such-package": "1.0",
    "wheels /nbserver-no-such-folder": "a-1.dist-info b-2.dist-info",
    "user nbserver-no-such-user": "nbserver-no-such-user:x:1:1::/:/bin/sh",
    "unit nbserver-no-such-unit.service": "active enabled",
    "certificate /nbserver-no-such-folder/certificate.pem": "AA:BB",
    "port 1": "AA:BB",
}


def event(second: float, step: str, name: str, **more: Any) -> dict[str, Any]:
    return {"time": f"2026-11-22T23:59:{second:010.7f}Z", "step": step, "event": name, **more}


def test_a_step_lasts_until_its_own_end_and_its_parts_are_told() -> None:
    events = [
        event(0, "", "started"),
        event(1.5, "preflight", "unchanged"),
        event(2, "packages", "started"),
        event(3, "packages", "difference"),
        event(4, "packages", "progress", what="fetching"),
        event(5, "packages", "progress", what="fetching"),
        event(6, "packages", "progress", what="installing"),
        event(9.25, "packages", "changed"),
        event(9.5, "check", "unchanged"),
        event(9.75, "", "finished"),
    ]
    assert timeline(events) == {"preflight": 1.5, "packages": 7.75, "packages: fetching": 2.0, "packages: installing": 3.25, "check": 0.25}


def test_what_is_told_twice_with_something_between_is_added_up() -> None:
    told = [event(second, "python", "progress", what=what) for second, what in ((1, "a"), (2, "b"), (3, "a"))]
    spent = timeline([event(0, "", "started"), *told, event(5, "python", "changed")])
    assert spent == {"python": 5.0, "python: a": 3.0, "python: b": 1.0}


def test_the_installations_are_told_beside_each_other() -> None:
    uv = [Installation("uv", total, 1.0, {"packages": total / 2, "packages: with uv": 4.0}, 3.0) for total in (20.0, 10.0, 60.0)]
    pip = [Installation("pip", 40.0, 1.0, {"packages": 30.0, "packages: with pip": 29.0}, 3.0)]
    rows = [line.split() for line in install_table(InstallResults([*uv, *pip], {"machine": "one"})).splitlines()]
    assert ["packages", "10.0", "s", "50%", "30.0", "s", "75%", "3.0"] in rows
    assert rows.index(["with", "pip", "29.0", "s", "72%"]) == rows.index(["with", "uv", "4.0", "s", "20%"]) + 1
    assert ["bare", "host", "to", "first", "plot", "20.0", "s", "100%", "40.0", "s", "100%", "2.0"] in rows


def test_uv_and_pip_take_turns_at_being_first() -> None:
    assert order(3) == ["uv", "pip", "pip", "uv", "uv", "pip"]


def test_ratios_are_between_medians_and_to_the_first_row() -> None:
    slow = [Run(wall, 1.0, 0.5, 0) for wall in (1.0, 2.0, 90.0)]
    block = Block(
        10, [Row("ssh", "", slow, 4_000_000), Row("x", "", [Run(6.0, 0.5, 1.0, 0)], 10_000_000), Row("y", "", [], failure="no y")]
    )
    first, second = block.measured
    assert [block.ratio(second, title) for title in ("wall time", "controller CPU", "controller memory", "CPU of a host")] == [
        3.0,
        0.5,
        2.5,
        2.0,
    ]
    assert block.ratio(first, "wall time") == 1.0
    results = Results([block], {"machine": "one"})
    assert "y could not be measured: no y" in table(results)
    assert json.loads(json.dumps(results.as_json()))["blocks"][0]["rows"][1]["ratios"]["wall time"] == 3.0


def test_the_page_needs_nothing_beside_itself_and_its_bars_are_to_scale() -> None:
    rows = [Row("ssh", "<plain>", [Run(1.0, 1.0, 0.5, 0)], 4_000_000), Row("nbserver", "", [Run(4.0, 0.5, 1.0, 0)], 10_000_000)]
    text = page(Results([Block(10, rows)], {"machine": "a & b"}))
    assert "&lt;plain&gt;" in text and "a &amp; b" in text and "10 hosts: wall time" in text
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    first, second = (float(found) for found in re.findall(r"<rect class=(?:first|other) [^>]* width=([0-9.]+)", text)[:2])
    assert second == pytest.approx(4 * first, rel=0.01) and "4.0 \u00d7" in text


def test_numbers_of_the_kernel_are_read() -> None:
    assert usage("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n") == 1.5
    assert pss("00400000-7ffc ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  300 kB\nPss_Dirty: 100 kB\n") == 300 * 1024


@pytest.mark.parametrize("form", ["{}", "host: {}", '"stdout": "{}\\n"', '"{}",'])
def test_a_refused_value_is_recognized_in_what_each_contender_prints(form: str) -> None:
    output = "\n".join(form.format(f"differs: {name}") for name in TABLE)
    assert named_as_different(output) == set(TABLE)
    assert missed(TABLE, output.replace("differs: port 1", "")) == ["port 1"]


def test_the_floor_names_every_value_that_differs(tmp_path: Path) -> None:
    for program in ("dpkg-query", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"this needs {program}")
    done = run_floor(TABLE)
    assert done.returncode == 1 and missed(TABLE, done.stdout) == []
    assert set(all_wrong(TABLE)) == set(TABLE) and not set(all_wrong(TABLE).values()) & set(TABLE.values())
    # and does not name what is as it should be
    (tmp_path / "a-1.dist-info").mkdir()
    right = {
        **TABLE,
        f"wheels {tmp_path}": "a-1.dist-info",
        f"access {tmp_path}": f"{tmp_path.owner()}:{tmp_path.group()} {tmp_path.stat().st_mode & 0o777:o}",
    }
    del right["wheels /nbserver-no-such-folder"]
    assert missed(right, run_floor(right).stdout) == sorted([f"access {tmp_path}", f"wheels {tmp_path}"])


def run_floor(values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require_bash(), "-s"], input=floor.script(values), capture_output=True, text=True, check=False)


@examples(10)
@given(st.lists(st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=40), min_size=1, max_size=40))
def test_a_value_is_one_word_of_bash(texts: list[str]) -> None:
    words = " ".join(map(floor.quote, texts))
    done = subprocess.run([require_bash(), "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    assert done.stdout == "".join(f"{text}\0" for text in texts).encode()


def test_ansible_asks_for_each_path_once() -> None:
    paths = {"access /a": "root:root 700", "contents /a": "0", "access /b": "root:root 700"}
    (files, *_) = ansible_tasks({**TABLE, **paths})
    assert [path for path in files["loop"] if path in ("/a", "/b")] == ["/a", "/b"]


def test_columns_line_up() -> None:
    assert columns([["", "wall"], ["nbserver", "1 s"]]) == "          wall\nnbserver   1 s"


# -- over PSRP


def psrp_run(wall: float, receives: int, **operations: int) -> PsrpRun:
    counts = {"Create": 1, "Command": 1, "Send": 2, "Receive": receives, "Signal": 1, "Delete": 1, **operations}
    return PsrpRun(wall, wall / 2, {"http": sum(counts.values()) + 2, **counts})


def psrp_results(*besides: int) -> PsrpResults:
    """nbserver with so many exchanges besides output, one run each, and a peer with ten times its time."""
    own = [psrp_run(1.0 + number, 3, Send=count - 6) for number, count in enumerate(besides)]
    return PsrpResults(
        [
            PsrpRow("nbserver", "ours", own),
            PsrpRow("peer", "theirs", [psrp_run(20.0, 30)]),
            PsrpRow("absent", "none", [], "it is not installed"),
        ],
        {"engine": "7.4"},
    )


def test_waiting_for_output_is_counted_apart_over_psrp() -> None:
    run = psrp_run(1.0, 5)
    assert (run.exchanges, run.besides_output) == (13, 8)
    assert run.operations() == {"logon": 2, "Create": 1, "Command": 1, "Send": 2, "Receive": 5, "Signal": 1, "Delete": 1}


@pytest.mark.parametrize(("besides", "kept"), [((8, 10), True), ((8, 11), False)])
def test_the_run_with_most_exchanges_decides_whether_the_promise_is_kept(besides: tuple[int, ...], kept: bool) -> None:
    results = psrp_results(*besides)
    assert (results.most_of_nbserver, results.promise_kept) == (max(besides), kept)
    assert results.promise.startswith("kept: " if kept else "BROKEN: ") and f"made {max(besides)} exchanges" in results.promise


def test_the_table_over_psrp_has_medians_ratios_and_what_could_not_be_measured() -> None:
    results = psrp_results(8, 9, 10)
    ours, theirs = results.measured
    wall = MEASURES[2]
    assert (ours.median(wall), ours.spread(wall), results.ratio(theirs, wall)) == (2.0, "1.00-3.00 s", 10.0)
    assert theirs.spread(wall) == "20.00 s" and theirs.operations()["Receive"] == 30
    text = psrp_table(results)
    row = next(line for line in text.splitlines() if line.startswith("peer"))
    assert row.split()[1:3] == ["38", "3.2"], "exchanges, and how many times nbserver's"
    assert "medians of 3 runs each" in text and "absent could not be measured: it is not installed" in text and "engine: 7.4" in text
    assert text.endswith("at most 10 are allowed\n")


def test_a_further_host_costs_what_a_row_has_more() -> None:
    found = {1: [{"wall": 1.0, "cpu": 0.5, "memory": 100e6}], 51: [{"wall": 2.0, "cpu": 1.0, "memory": 101e6}] * 2}
    assert further_host(found, "cpu") == [None, 0.01]
    (line,) = (line for line in fleet_table(found, {}).splitlines() if line.startswith("51 "))
    assert line.split() == ["51", "2", "2.00", "s", "1.00", "s", "10.0", "ms", "101", "MB", "20", "kB"]
