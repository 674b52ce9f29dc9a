"""Only a run in mode status believes what a host says about its status, and only once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.render.script import Script
from nbserver.run.envelope import Envelope
from nbserver.run.leg import Leg
from nbserver.run.result import Result
from tests.unit.test_formats import EXAMPLES

(STATUS,) = (value for kind, value in EXAMPLES if kind == "event" and value["event"] == "status")
SCRIPT = Script(host="lin1", parts=("",), settings={}, steps=("service",), sha256="ab" * 32, body_sha256="ab" * 32, extension="sh")


def hear(mode: Mode, *events: dict[str, Any]) -> Result:
    result = Result("lin1", outcome="running")
    leg = Leg("lin1", SCRIPT, Envelope(mode, "r1"), result, time.monotonic() + 60)
    started = {"event": "started", "step": "", "run": "r1", "mode": mode, "operator": "me", "release": "0.6.0", "host": "lin1"}
    for number, event in enumerate([{**started, "script_sha256": SCRIPT.sha256}, *events], 1):
        leg.hear(json.dumps({**event, "v": 1, "n": number, "time": "2026-11-22T17:10:35.9526580Z"}))
    return result


def difference(step: str) -> dict[str, Any]:
    return {"event": "difference", "step": step, "what": "w", "is": None, "should": "s"}


FINISHED = {"event": "finished", "step": "", "outcome": "ok", "differs": True, "changed": 0, "reboot": False, "fingerprint": ""}


def test_the_differences_are_counted() -> None:
    result = hear("status", STATUS, difference("service"), difference("service"), FINISHED)
    assert result.outcome == "differs" and result.steps == {"service": "differs"}
    assert result.status and result.status.differences == 2 and not result.status.is_current
    other = {**STATUS, "service": {**STATUS["service"], "state": "stopped"}}
    again = hear("status", STATUS, difference("service"), other, FINISHED)
    assert again.status and again.status.differences == 1 and again.status.is_running


@pytest.mark.parametrize("mode", ["test", "apply"])
def test_other_runs_ignore_it(mode: Mode) -> None:
    result = hear(mode, STATUS, FINISHED)
    assert result.status is None and "status" not in result.as_json()
