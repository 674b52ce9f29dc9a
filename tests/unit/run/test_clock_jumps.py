"""The clocks of a host and of the workstation jump during a run: order, durations, and timeouts do not depend on them."""

from __future__ import annotations

import itertools
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nbserver.run import chain_check, journal
from tests.checkout import SOURCE
from tests.unit.run.test_host_run import ended, event
from tests.unit.run.two_hosts import PRINT, Hosts

TIMES = ("2026-11-22T12:00:00.0000000Z", "2026-11-22T10:00:00.0000000Z", "2026-11-22T15:00:00.0000000Z")


def test_events_stay_in_order_and_durations_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, wall, jumps = Hosts(tmp_path, monkeypatch), [datetime(2026, 11, 22, 10, tzinfo=UTC)], itertools.cycle((-7200, 18000, -10800))

    def now() -> str:
        wall[0] += timedelta(seconds=next(jumps))
        return f"{wall[0]:%Y-%m-%dT%H:%M:%S.%f}0Z"

    monkeypatch.setattr(journal, "now", now)
    monkeypatch.setattr(time, "time", lambda: wall[0].timestamp())
    hosts.bad = lambda started: [
        {**said, "time": moment}
        for said, moment in zip((started, event(2, "changed", "path"), ended(3, "ok", changed=1, fingerprint=PRINT)), TIMES, strict=True)
    ]
    results = hosts.apply()
    assert {result.outcome for result in results.values()} == {"ok"}
    assert all(0 <= result.seconds < 60 for result in results.values())
    (run,) = (tmp_path / "nbserver-runs").iterdir()
    kept = [json.loads(line) for line in (run / "bad" / "events.jsonl").read_text().splitlines()]
    assert [(one["n"], one["time"]) for one in kept] == list(enumerate(TIMES, 1))
    assert chain_check.check(run, []).links, "the chain is in the order in which it was written, whatever its times"


def test_no_timeout_is_measured_by_a_clock_that_can_jump() -> None:
    folders = ("run", "transports", "view", "verify", "base", "bundle")
    found = [
        str(path)
        for folder in folders
        for path in (SOURCE / "nbserver" / folder).rglob("*.py")
        if re.search(r"\btime[.]time\(", path.read_text("utf-8"))
    ]
    assert found == []
