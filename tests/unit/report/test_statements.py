"""The figures of the report, against what the files of the run say to a reader that shares no code with it."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from nbserver.report import before, host_events, run_files, statements
from nbserver.report.statements import Report
from tests import run_folders

Figures = dict[str, Any]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp() + int(text[26]) / 1e7


def figures(folder: Path) -> Figures:
    """What a person with a calculator finds in events.jsonl: time and result of each step, and how many changed."""
    found: Figures = {"steps": {}, "changed": {}, "spans": {}}
    for path in sorted(folder.glob("*/events.jsonl")):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        took: dict[str, float] = defaultdict(float)
        results: dict[str, str] = {}
        changed = 0
        silent = True
        for number, event in enumerate(events):
            step, name = event["step"], event["event"]
            if number and step:
                gap = seconds(event["time"]) - seconds(events[number - 1]["time"])
                if not (silent and name in ("started", "unchanged")):
                    took[step] += gap
            if name == "started" and not step:
                silent = True
            elif name in ("started", "unchanged"):
                silent = False
            if name in ("changed", "failed", "restored") or (name == "unchanged" and results.get(step) != "changed"):
                results[step] = name
            if name == "finished":
                changed += event["changed"]
        host = path.parent.name
        found["steps"][host] = {step: (results.get(step, "unfinished"), took[step]) for step in {event["step"] for event in events} - {""}}
        found["changed"][host] = changed
        found["spans"][host] = seconds(events[-1]["time"]) - seconds(events[0]["time"]) if events else 0.0
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return run_folders.fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def found(runs: list[Path]) -> Report:
    return statements.report(runs[1])


def test_the_figures_are_those_of_the_events(runs: list[Path], found: Report) -> None:
    expected = figures(runs[1])
    for host in found.hosts:
        steps = {step.name: (step.result, pytest.approx(step.seconds, abs=1e-6)) for step in host.steps}
        assert expected["steps"][host.name] == steps, host.name
        if host.outcome == "ok":
            assert host.changed == expected["changed"][host.name]
        if host.bars:
            assert host.bars[-1].end - host.bars[0].begin == pytest.approx(expected["spans"][host.name], abs=1e-6)
    by_step: dict[str, list[float]] = defaultdict(list)
    results: dict[str, Counter[str]] = defaultdict(Counter)
    for steps in expected["steps"].values():
        for name, (result, took) in steps.items():
            by_step[name].append(took)
            results[name][result] += 1
    for total in found.totals:
        assert total.median == pytest.approx(median(by_step[total.name]), abs=1e-6)
        assert total.longest == pytest.approx(max(by_step[total.name]), abs=1e-6)
        assert dict(total.results) == dict(results[total.name])
    longest = sorted((took for steps in expected["steps"].values() for _, took in steps.values()), reverse=True)
    assert [step.seconds for _, step in found.slowest] == pytest.approx(longest[: statements.SLOWEST], abs=1e-6)
    summary = json.loads((runs[1] / "summary.json").read_text())["hosts"]
    assert Counter(found.outcomes) == Counter(host["outcome"] for host in summary.values())
    assert found.seconds == pytest.approx(230.2, abs=1.0) and found.ended and not found.faults


def test_a_host_is_where_the_workstation_saw_it_even_if_its_clock_is_wrong(found: Report) -> None:
    hosts = {host.name: host for host in found.hosts}
    assert hosts["web06"].begin < 1 and 9 < hosts["web06"].end < 10, "its clock is two hours behind"
    assert hosts["web07"].begin == pytest.approx(50, abs=0.1)
    assert [bar.what for bar in hosts["web07"].bars].count(host_events.RESTART) == 1
    for host in found.hosts:
        assert all(one.end <= other.begin + 1e-6 for one, other in zip(host.bars, host.bars[1:], strict=False))
        assert not host.bars or (host.begin <= host.bars[0].begin and host.bars[-1].end <= host.end + 1e-6)


def test_hosts_that_fail_for_the_same_reason_are_one_group_with_logs_of_some(found: Report) -> None:
    assert [group.hosts for group in found.failures] == [("web04", "web05", "web09", "web10", "web11"), ("web02", "web08")]
    assert [host.kind for host in found.hosts if host.name in ("web04", "web02", "web01")] == ["", "step", "refused"]
    assert sorted(found.logs) == ["web02", "web04", "web05", "web08", "web09"]
    assert any("No space left on device" in line for line in found.logs["web02"])


def test_the_run_before_is_the_newest_earlier_one_of_the_same_command(runs: list[Path], found: Report, tmp_path: Path) -> None:
    assert before.before(runs[1], found) == runs[0]
    assert before.before(runs[0], statements.report(runs[0])) is None
    compared = before.compare(found, runs[0])
    rows = {(row.host, row.what): (row.before, row.now) for row in compared.rows}
    assert rows["web04", "outcome"] == ("ok", "unreachable") and rows["web01", "script"][0] != rows["web01", "script"][1]
    assert rows["web03", "steps"] == ("packages unchanged, service unchanged", "packages changed, service changed")
    assert not [row for row in compared.rows if row.host == "web06"] and len(compared.both) == 12
    head = json.loads((runs[0] / "run.json").read_text())
    for name, change in (("20261122T100000Z-000001", {"mode": "test"}), ("20261122T100000Z-000002", {"hosts": ["other"]})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({**head, "run": name, **change}))
    shutil.copytree(runs[1], tmp_path / runs[1].name)
    assert before.before(tmp_path / runs[1].name, found) is None


def test_a_run_that_was_killed_has_a_report_that_says_so(tmp_path: Path) -> None:
    found = statements.report(run_folders.killed(tmp_path))
    assert not found.ended
    assert {host.name: host.outcome for host in found.hosts} == {"web01": "ok", "web02": "unfinished", "web03": "not started"}
    assert {host.name: host.changed for host in found.hosts} == {"web01": 0, "web02": None, "web03": None}
    assert "Collecting numpy" in next(host for host in found.hosts if host.name == "web02").last_event


def test_the_findings_of_a_check_are_shown_with_what_to_do(tmp_path: Path) -> None:
    made = run_folders.scripts(tmp_path, ("web01",))
    run = run_folders.Fleet(tmp_path / "runs", "20261122T180000Z-c4ec00", made, "check")
    with run.host("web01") as host:
        host.start()
        for name, state in (("disk", "ok"), ("clock", "warning"), ("reboot", "failed"), ("urls", "unknown")):
            host.say("finding", "preflight", name=name, state=state, text=f"the {name}", todo="" if state == "ok" else f"Fix the {name}")
        host.finish("failed")
    (found,) = statements.report(run.end()).hosts
    assert [(step.result, step.found) for step in found.steps] == [("failed", 3)]
    assert found.steps[0].differences == [
        "warning: the clock. Fix the clock",
        "failed: the reboot. Fix the reboot",
        "unknown: the urls. Fix the urls",
    ]


def test_a_run_that_was_resumed_has_its_newest_outcome(tmp_path: Path) -> None:
    folder = run_folders.killed(tmp_path)
    (folder / "approval-1").mkdir()
    attempt = {"operator": "bob@desk", "release": "0.6.0", "start": "2026-11-22T19:00:00.0000000Z"}
    (folder / "resumed-1.json").write_text(json.dumps(attempt))
    summary = {
        "v": 2,
        "hosts": {name: {"outcome": "ok", "changed": 0, "reboot": False, "steps": {}} for name in ("web01", "web02", "web03")},
    }
    (folder / "summary-1.json").write_text(json.dumps(summary))
    lines = (folder / "web02" / "events.jsonl").read_text().splitlines()
    again = {**json.loads(lines[0]), "run": f"{folder.name}-r1", "time": attempt["start"]}
    (folder / "web02" / "events.jsonl").write_text("\n".join([*lines, json.dumps(again)]) + "\n")
    head = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**head, "end": "2026-11-22T19:10:00.0000000Z"}))
    found = statements.report(folder)
    assert found.ended and found.outcomes == {"ok": 3} and [one.operator for one in found.attempts] == ["bob@desk"] and not found.faults
    assert host_events.RESUMED in [bar.what for bar in found.hosts[1].bars]
    (folder / "resumed-2.json").write_text("{}")
    assert not statements.report(folder).ended, "it was killed again"


@pytest.mark.parametrize("name", ["summary.json", "chain.jsonl", "web01/events.jsonl", "web01/script.sh", "web02/log.txt"])
@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"hosts": 3}', b"\xff\x00\n" * 9, b'{"hosts": {"web01": {"outcome": []}, "../x": {}}}', None]
)
def test_a_damaged_file_costs_only_what_it_says(runs: list[Path], tmp_path: Path, name: str, data: bytes | None) -> None:
    folder = shutil.copytree(runs[1], tmp_path / runs[1].name)
    path = Path(folder) / name
    path.unlink()
    if data is None:
        path.symlink_to("/etc/passwd")
    else:
        path.write_bytes(data)
    found = statements.report(Path(folder))
    assert len(found.hosts) == 12
    assert data in (b"",) or found.faults or name.endswith(("sh", "txt"))
    assert "root:" not in repr(found)


def test_the_faults_of_a_changed_summary_are_limited(runs: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs[1], tmp_path / runs[1].name))
    (folder / "web02" / "events.jsonl").write_text("no event\n")
    (folder / "summary.json").write_text(json.dumps({"hosts": dict.fromkeys(map(str, range(300)), 0)}))
    assert len(statements.report(folder).faults) == run_files.MOST_FAULTS


def test_a_link_in_place_of_a_host_is_not_followed(runs: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs[1], tmp_path / runs[1].name))
    shutil.move(folder / "web01", tmp_path / "elsewhere")
    (folder / "web01").symlink_to(tmp_path / "elsewhere")
    found = statements.report(folder)
    assert not found.hosts[0].steps and any(fault.startswith("web01") for fault in found.faults)


def test_events_of_another_host_or_run_do_not_count(runs: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs[1], tmp_path / runs[1].name))
    shutil.copy(folder / "web01" / "events.jsonl", folder / "web12" / "events.jsonl")
    shutil.copy(runs[0] / "web03" / "events.jsonl", folder / "web03" / "events.jsonl")
    lines = (folder / "web01" / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "web01" / "events.jsonl").write_text("".join([*lines[:3], "no event\n", *lines[5:]]))
    hosts = {host.name: host for host in statements.report(folder).hosts}
    assert not hosts["web12"].steps and not hosts["web03"].steps and hosts["web01"].steps
    faults = statements.report(folder).faults
    assert sum("belong to another host or run" in fault for fault in faults) == 2
    assert any("events are missing before event 6" in fault for fault in faults) and any(
        "1 line is not an event" in fault for fault in faults
    )


def test_a_folder_that_is_not_a_run_is_refused(runs: list[Path], tmp_path: Path) -> None:
    for run, code in (("20261122T180000Z-ffffff", "run-not-found"), ("no such run", "run-id-invalid"), (str(runs[1]), "")):
        if code:
            with pytest.raises(run_files.UsageError) as caught:
                run_files.folder_of(run, runs[1].parent)
            assert caught.value.code == code
        else:
            assert run_files.folder_of(run, tmp_path) == runs[1]
    for text in ("", "[]", '{"run": "x", "mode": "apply"}', '{"run": "run-7", "mode": ["apply"]}', '{"run": "run-7"}', "[" * 100_000):
        (tmp_path / "run-7").mkdir(exist_ok=True)
        (tmp_path / "run-7" / "run.json").write_text(text)
        with pytest.raises(run_files.UsageError, match="not in the format that nbserver writes"):
            statements.report(tmp_path / "run-7")
    (tmp_path / "run-7" / "run.json").write_text(
        '{"run": "run-7", "mode": "apply", "hosts": [1, "../x", "a"], "command": [7], "start": "x"}'
    )
    assert [host.name for host in statements.report(tmp_path / "run-7").hosts] == ["a"]
