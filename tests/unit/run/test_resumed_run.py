"""Continuing the run of one host: what it is asked, depending on what the journal has of it. The host's side is told line by line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ConnectError, ScriptError
from nbserver.render.script import Script
from nbserver.run import host_run, past_host
from nbserver.run.record import Collected
from nbserver.run.result import Result
from nbserver.run.resumed_run import ResumedRun
from nbserver.transports.transport import StopRequested
from tests.unit.run.test_host_run import HOST, LOST, Told, begun, ended, event, script

__all__ = ["script"]
RUN = "20261122T171033Z-123456"
BOOT = "2026-11-22T09:00:00Z"
UNKNOWN = ScriptError("powershell-failed", "PowerShell could not run the script: no run with this ID", host="win1")
Said = Sequence[dict[str, Any] | Exception]


class Site:
    """The journal of one host, with `kept` events and envelopes; what was sent to it and what was collected after that."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.folder, self.script, self.collected = folder, script, Collected()
        self.envelopes: list[list[str]] = []

    def kept(self, events: Sequence[dict[str, Any]], *sent: str) -> None:
        (self.folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
        for number, text in enumerate(sent, 1):
            (self.folder / ("envelope.txt" if number == 1 else f"envelope-{number}.txt")).write_text(f"mode apply\n{text}\n")

    def started(self, run: str = RUN, **more: Any) -> dict[str, Any]:
        return begun(self.script, run=run, boot=BOOT, **more)

    def resume(self, *connections: Said, mode: Any = "apply") -> Result:
        past = past_host.read(self.folder, self.script, mode, RUN, 1)
        transport = Told(*connections)
        run = ResumedRun(HOST.model_copy(update={"reboot": "if-needed"}), self.script, mode, past, self.collected, lambda name, event: None)
        result = run.execute(transport, "me", {}, threading.Event())
        self.envelopes = transport.envelopes
        assert not transport.connections, "all was asked"
        return result

    def asked(self) -> list[str]:
        """The mode and the run of each envelope."""
        found = [dict(line.split(" ", 1) for line in lines) for lines in self.envelopes]
        return [f"{one['mode']} {one['run'].removeprefix(RUN)} {one.get('after', one.get('boot-before', ''))}".strip() for one in found]

    def heard(self) -> list[int]:
        return [one.n for one in self.collected.entries if hasattr(one, "n")]


@pytest.fixture
def site(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.0,))
    monkeypatch.setattr(host_run, "RESTART_PAUSE", 0.0)
    return Site(tmp_path, script)


def test_what_was_never_sent_is_sent_with_the_id_of_the_run(site: Site) -> None:
    result = site.resume([site.started(), event(2, "changed", "path"), ended(3, "ok", changed=1)])
    assert (result.outcome, result.changed, site.asked()) == ("ok", 1, ["apply"]) and site.heard() == [1, 2, 3]


def test_the_rest_of_the_events_is_fetched(site: Site) -> None:
    site.kept([site.started(), event(2, "changed", "path")], f"run {RUN}")
    result = site.resume([event(3, "changed", "other"), ended(4, "ok", changed=2)])
    assert (result.outcome, result.changed, result.steps) == ("ok", 2, {"path": "changed", "other": "changed"})
    assert site.asked() == ["events  2"] and site.heard() == [3, 4]


def test_a_run_that_was_terminated_is_run_again_with_a_new_id(site: Site) -> None:
    site.kept([site.started(), event(2, "changed", "path")], f"run {RUN}")
    again = [site.started(f"{RUN}-r1"), event(2, "unchanged", "path"), event(3, "changed", "other"), ended(4, "ok", changed=1)]
    result = site.resume([], again)
    assert (result.outcome, result.changed, result.steps) == ("ok", 2, {"path": "changed", "other": "changed"})
    assert site.asked() == ["events  2", "apply -r1"]


def test_a_run_that_was_stopped_is_run_again_with_a_new_id(site: Site) -> None:
    site.kept([site.started(), ended(2, "stopped")], f"run {RUN}")
    assert site.resume([site.started(f"{RUN}-r1"), ended(2, "ok")]).outcome == "ok" and site.asked() == ["apply -r1"]


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": "run-id-used", "values": {"run": RUN}},
        {"code": "run-in-progress", "values": {"owner": f"run {RUN}, mode apply, by 'me'"}},
        {"code": "another-run-finished", "values": {}},
    ],
)
def test_a_script_that_begins_late_is_followed(site: Site, refusal: dict[str, Any]) -> None:
    """The host did not know it when it was asked. It refuses the second one, whose events are not those of the run."""
    site.kept([], f"run {RUN}")
    result = site.resume(
        [UNKNOWN], [event(1, "failed", text="no", **refusal), ended(2, "failed")], [site.started(), ended(2, "ok", changed=0)]
    )
    assert result.outcome == "ok" and site.asked() == ["events  0", "apply", "events  0"] and site.heard() == [1, 2]


def test_a_host_that_has_only_the_folder_of_the_run_gets_a_new_id(site: Site) -> None:
    site.kept([], f"run {RUN}")
    refused = [event(1, "failed", text="no", code="run-id-used", values={"run": RUN}), ended(2, "failed")]
    result = site.resume([UNKNOWN], refused, [UNKNOWN], [site.started(f"{RUN}-r1"), ended(2, "ok")])
    assert result.outcome == "ok" and site.asked()[-1] == "apply -r1"


def test_another_run_that_is_in_the_way_is_reported(site: Site) -> None:
    refused = [event(1, "failed", text="no", code="run-in-progress", values={"owner": "run other, mode apply"}), ended(2, "failed")]
    result = site.resume(refused)
    assert result.outcome == "failed" and "nbserver events other win1" in result.error and site.heard() == [1, 2]


def test_after_a_restart_of_windows_the_next_leg_follows(site: Site) -> None:
    restarting = ended(3, "reboot", changed=1, reboot=True, restarting=True)
    site.kept([site.started(), event(2, "changed", "path"), restarting], f"run {RUN}")
    result = site.resume([site.started(f"{RUN}-2"), event(2, "changed", "other"), ended(3, "ok", changed=1)])
    assert (result.outcome, result.changed, site.asked()) == ("ok", 2, [f"apply -2 {BOOT}"])


def test_a_leg_after_a_restart_that_the_host_does_not_know_is_sent_again(site: Site) -> None:
    restarting = ended(2, "reboot", reboot=True, restarting=True)
    site.kept([site.started(), restarting], f"run {RUN}", f"run {RUN}-2\nboot-before {BOOT}")
    result = site.resume([UNKNOWN], [site.started(f"{RUN}-2"), ended(2, "ok")])
    assert result.outcome == "ok" and site.asked() == ["events -2 0", f"apply -2 {BOOT}"]


def test_a_plan_is_always_run_again(site: Site) -> None:
    site.kept([site.started(mode="test"), event(2, "difference", "path", what="x", **{"is": None, "should": "y"})], f"run {RUN}")
    result = site.resume([site.started(f"{RUN}-r1", mode="test"), ended(2, "ok")], mode="test")
    assert result.outcome == "ok" and site.asked() == ["test -r1"]


@pytest.mark.parametrize(
    ("said", "outcome", "error"),
    [(LOST, "failed", "the connection to win1 was lost"), (StopRequested(), "stopped", "no longer following the run")],
)
def test_what_is_not_known_is_not_said_to_be(site: Site, said: Exception, outcome: str, error: str) -> None:
    site.kept([site.started(), event(2, "changed", "path")], f"run {RUN}")
    result = site.resume(*([[said], [said]] if isinstance(said, ConnectError) else [[said]]))
    assert (result.outcome, result.changed) == (outcome, None) and error in result.error


def test_a_defect_stays_in_the_result(site: Site) -> None:
    site.kept([site.started()], f"run {RUN}")
    assert "ZeroDivisionError" in site.resume([ZeroDivisionError("x")]).error


def test_what_counts_as_finished(site: Site) -> None:
    read: Callable[[], bool] = lambda: past_host.read(site.folder, site.script, "apply", RUN, 1).is_finished  # noqa: E731
    assert not read()
    for outcome, expected in (("ok", True), ("failed", True), ("stopped", False), ("reboot", False)):
        failed = [event(2, "failed", "path", text="x")] if outcome == "failed" else []
        site.kept([site.started(), *failed, ended(2 + len(failed), outcome)], f"run {RUN}")
        assert read() is expected
    site.kept([event(1, "failed", text="x"), ended(2, "failed")], f"run {RUN}")
    assert not read(), "the script refused to start"
    site.kept([site.started(), ended(2, "ok")], f"run {RUN}", f"run {RUN}-r1")
    assert not read(), "another one was sent"
