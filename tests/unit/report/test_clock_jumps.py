"""A clock that jumps back and forward: no duration is negative, and the order of events stays that of their numbers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from nbserver.report import statements
from nbserver.report.statements import Report
from tests import run_folders

HOUR = 3600.0


@pytest.fixture(params=["host", "workstation"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Report:
    """The report of one host: between its steps, its own clock jumps, or that of the workstation."""
    fleet = run_folders.Fleet(tmp_path / "runs", "20261122T180000Z-0a1b2c", run_folders.scripts(tmp_path, ["web01"]))
    with fleet.host("web01") as host:
        host.start()
        for jump, step in ((-2 * HOUR, "python"), (5 * HOUR, "packages"), (-3 * HOUR, "notebook"), (0.0, "service")):
            if request.param == "host":
                host.skew += jump
            else:  # its clock is what run.json and chain.jsonl have; events have that of the host
                host.clock.moment += timedelta(seconds=jump)
                host.skew -= jump
            host.steps(step, changed=[step])
        host.finish(changed=4)
    host.result.seconds = 60.0  # of the monotonic clock, which has not jumped
    return statements.report(fleet.end())


def test_no_duration_is_negative(found: Report) -> None:
    (host,) = found.hosts
    assert found.seconds >= 0 and 0 <= host.begin <= host.end
    assert all(step.ticks >= 0 for step in host.steps)
    assert all(0 <= bar.begin <= bar.end for bar in host.bars)


def test_the_steps_are_in_their_order_with_their_results(found: Report) -> None:
    (host,) = found.hosts
    assert [(step.name, step.result) for step in host.steps] == [
        (name, "changed") for name in ("python", "packages", "notebook", "service")
    ]
