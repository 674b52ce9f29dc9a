"""The end of nbserver status: one line per host, or the details of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from nbserver.base import folding
from nbserver.commands import status as command
from nbserver.events.reader import parse
from nbserver.language import choice
from nbserver.run import operation
from nbserver.run.host_status import HostStatus, status_of
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.view.status_lines import status_lines
from tests.formats import validate
from tests.unit.test_formats import EXAMPLES

(FOUND,) = (value for kind, value in EXAMPLES if kind == "event" and value["event"] == "status")
CURRENT = FOUND["last"]["script_sha256"]


def result(name: str, script: str = CURRENT, *, differences: int = 0, outcome: str = "ok", **changes: Any) -> Result:
    """What became of a host that reported the example with changes."""
    found = status_of(parse(json.dumps({**FOUND, **changes})).data, script)
    found.days_left, found.differences = 396 if found.days_left is not None else None, differences
    steps = {"preflight": "unchanged", "service": "differs" if differences else "unchanged"}
    return Result(name, outcome=outcome, status=found, steps=steps)


def plain(*results: Result) -> list[str]:
    return [click.unstyle(line) for line in status_lines({one.host: one for one in results})]


ABSENT = {"service": {"state": "absent", "by": "none", "start": "none", "since": ""}, "versions": {}, "certificate": None, "last": None}


def test_the_details_of_one_host() -> None:
    assert plain(result("lin1")) == [
        "lin1  running",
        "    server       since 2026-11-22 17:11 UTC, starts with the system, systemd",
        "    limits       memory 90% (now 7.1 GiB), processes 15% (now 4915), CPU 200%",
        "    versions     Python 3.11.2, Notebook 7.4.5, Jupyter Server 2.17.0, NumPy 2.3.2, Matplotlib 3.10.5, Tornado 6.5.2, pyzmq 27.0.2,"
        " OpenSSL 3.0.17",
        f"    certificate  CN=lin1, 396 days left (2027-12-24), {FOUND['certificate']['fingerprint']}",
        "    last run     apply ok, 2026-11-22 17:10 UTC, anna@desk, 20261122T171033Z-7ab115",
        "    script       as rendered now",
        "    drift        none",
    ]
    lines = plain(result("lin1", "0" * 64, differences=2, outcome="differs"))
    assert lines[-2:] == [f"    script       another script: {CURRENT}", "    drift        2 (service)"]
    elsewhere = result("lin1")
    assert elsewhere.status
    elsewhere.status.is_here = False
    assert plain(elsewhere)[5].endswith(", 20261122T171033Z-7ab115 (not a run of this workstation)")
    assert plain(result("lin1", **ABSENT))[:2] == ["lin1  absent", "    server       no notebook server is set up"]


def test_one_line_for_each_of_several_hosts() -> None:
    failed = Result("lin3", outcome="failed", error="lin3: refused")
    other = result("lin2", "0" * 64, differences=1, outcome="differs", service={**FOUND["service"], "state": "stopped", "since": ""})
    assert plain(result("lin1"), other, failed, result("lin4", **ABSENT)) == [
        "HOST  SERVER   SINCE             PYTHON  NOTEBOOK  CERTIFICATE  LAST RUN                       SCRIPT   DRIFT",
        "lin1  running  2026-11-22 17:11  3.11.2  7.4.5     396 days     apply ok 2026-11-22 anna@desk  current  none",
        "lin2  stopped                    3.11.2  7.4.5     396 days     apply ok 2026-11-22 anna@desk  other    1 (service)",
        "lin3  failed",
        "    lin3: refused",
        "lin4  absent                                                                                   unknown  none",
    ]


@pytest.mark.parametrize("language", choice.CODES)
def test_a_narrow_terminal_has_two_aligned_lines_for_a_host(language: str) -> None:
    stopped = {**FOUND["service"], "state": "stopped", "since": ""}
    hosts = [
        result("notebook-server-01", previous=PREVIOUS),
        result("lin2", "0" * 64, differences=1, outcome="differs", service=stopped),
        Result("lin3", outcome="failed", error="lin3: refused"),
    ]
    given = ({one.host: one for one in hosts}, (), choice.language(language))
    wide = [click.unstyle(line) for line in status_lines(*given)]
    lines = [click.unstyle(line) for line in status_lines(*given, 80)]
    assert len(wide) == 5 and len(lines) == 8
    assert max(map(folding.width, lines)) <= 80
    words = [" ".join(line.split()) for line in wide]
    assert sorted(" ".join(words).split()) == sorted(" ".join(lines).split()), "nothing is left out"
    drift, script = (folding.width(lines[0][: lines[0].index(title)]) for title in lines[0].split()[:-3:-1])
    assert [folding.width(lines[at][: lines[at].index(cell)]) for at, cell in ((2, lines[2].split()[-1]), (4, "1 (service)"))] == [
        drift
    ] * 2
    assert folding.width(lines[4][: lines[4].index(lines[4].split()[-3])]) == script
    assert lines[3].index("3.11.2") == lines[5].index("3.11.2") == 4 and lines[3].index("apply") == lines[5].index("apply")
    assert wide == [click.unstyle(line) for line in status_lines(*given, max(map(folding.width, wide)))]


PREVIOUS = {"environment": "/opt/nbserver/env-7fefc45f", "lock": "7fefc45f" * 8, "installed": "2026-11-20T08:00:00Z"}


def test_the_environment_that_a_rollback_would_use() -> None:
    line = f"    previous     /opt/nbserver/env-7fefc45f, installed 2026-11-20, lock {'7fefc45f' * 8}"
    assert line in plain(result("lin1", previous=PREVIOUS))
    of_distribution = {"environment": "/usr/bin/python3", "lock": "", "installed": ""}
    assert "    previous     /usr/bin/python3" in plain(result("lin1", previous=of_distribution))
    head, first, second = plain(result("lin1", previous=PREVIOUS), result("lin2", previous=None))
    column = head.index("PREVIOUS")
    assert first[column:].startswith("env-7fefc45f ") and second[column:].startswith(" " * 14)


def test_a_hostile_host_controls_no_terminal() -> None:
    last = {**FOUND["last"], "operator": "\x1b[2J\u202e" + "x" * 500}
    certificate = {**FOUND["certificate"], "subject": "CN=\x1b]0;x\x07"}
    hostile = {**PREVIOUS, "environment": "/\x1b[2J" + "x" * 900}
    for lines in (plain(result("lin1", last=last, certificate=certificate)), plain(result("lin1", last=last), result("lin2"))):
        assert all(line.isprintable() and len(line) < 300 for line in lines)
    for lines in (plain(result("lin1", previous=hostile)), plain(result("lin1", previous=hostile), result("lin2"))):
        assert all(line.isprintable() and len(line) < 500 for line in lines)
    with pytest.raises(ValueError, match="status"):
        result("lin1", versions={"python": "\x1b"})


def test_the_summary_has_what_the_host_and_the_workstation_know() -> None:
    for one in (result("lin1"), result("lin1", "0" * 64, differences=3), result("lin1", **ABSENT), Result("lin1", outcome="failed")):
        summary = {"v": 1, "hosts": {"lin1": one.as_json()}}
        validate("summary", summary)
        validate("stream", {"event": "summary", "runs": "runs/x", "hosts": summary["hosts"]})
    assert status_of({**FOUND, "certificate": {**FOUND["certificate"], "expires": "2020-01-01T00:00:00Z"}}, CURRENT).days_left < 0  # type: ignore[operator]
    assert status_of({**FOUND, "certificate": {**FOUND["certificate"], "expires": "2020-13-01T00:00:00Z"}}, CURRENT).days_left is None
    assert status_of({**FOUND, "certificate": None}, CURRENT) == HostStatus({**FOUND, "certificate": None}, CURRENT)


def test_a_run_of_this_workstation_is_recognized(tmp_path: Path) -> None:
    def is_here(run: str) -> bool | None:
        found = status_of({**FOUND, "last": {**FOUND["last"], "run": run}}, CURRENT)
        found.look_for_run(tmp_path)
        return found.is_here

    (tmp_path / "20261122T171033Z-7ab115").mkdir()
    assert is_here("20261122T171033Z-7ab115") is False
    (tmp_path / "20261122T171033Z-7ab115" / "run.json").write_text("{}")
    assert all(is_here(f"20261122T171033Z-7ab115{further}") for further in ("", "-2", "-r1", "-r12-3"))
    assert not any(is_here(f"20261122T171033Z-7ab11{other}") for other in ("6", "", "5-by-hand"))
    found = status_of({**FOUND, "last": None}, CURRENT)
    found.look_for_run(tmp_path)
    assert found.is_here is None


STOPPED = {"service": {**FOUND["service"], "state": "stopped", "since": ""}}


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result("a"), result("b")], 0),
        ([result("a"), result("b", differences=1, outcome="differs")], 4),
        ([result("a"), result("b", outcome="differs", **STOPPED)], 3),
        ([result("a", **ABSENT)], 3),
        ([result("a"), Result("b")], 3),
        ([Result("a", code=5), result("b", **STOPPED)], 5),
    ],
)
def test_the_exit_code(results: list[Result], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "operate", lambda mode, *given: {one.host: one for one in results})
    assert command.of_hosts(None, [], Options(), None, None) == code  # type: ignore[arg-type]
