"""The orchestrator is killed at every event: its run goes on, is never run beside another, and undo restores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nbserver.commands.events import events
from nbserver.inventory import reader
from nbserver.run.journal import new_run_id
from nbserver.view.plain_lines import PlainLines
from tests.checkout import PYTHON_PATH
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_host import SmallHost, wait_until
from tests.faults.small_script import STEPS
from tests.tier import points

EVENTS = range(1, 21)
LOOKED_UP = 9  # where the rest of the events is fetched with `nbserver events`
LAST_GATE_AT = 18  # no gate comes after event 18: from then on the run cannot be held


@pytest.fixture(scope="module")
def orchestrator(small_host: SmallHost) -> Iterator[subprocess.Popen[str]]:
    """See tests/faults/orchestrator.py."""
    command = [sys.executable, "-m", "tests.faults.orchestrator", str(small_host.inventories["struck"])]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def kill_at(host: SmallHost, orchestrator: subprocess.Popen[str], event: int, operator: str) -> str:
    """An apply whose orchestrator dies by SIGKILL at this event. Returns the run's name."""
    job = {"runs": str(host.folder / "runs"), "run": new_run_id(), "operator": operator, "kill_at": event}
    assert orchestrator.stdin is not None and orchestrator.stdout is not None
    orchestrator.stdin.write(json.dumps(job) + "\n")
    orchestrator.stdin.flush()
    assert int(orchestrator.stdout.readline()) == signal.SIGKILL, "it killed itself"
    return str(job["run"])


@pytest.mark.parametrize("event", points(EVENTS, 1, 9, 14, 19))
def test_orchestrator_killed(small_host: SmallHost, orchestrator: subprocess.Popen[str], event: int) -> None:
    before = small_host.prepare()
    small_host.order("hold", f"event {event}")
    run = kill_at(small_host, orchestrator, event, "first@workstation")
    kept = (small_host.folder / "runs" / run / "win1" / "events.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["n"] for line in kept] == list(range(1, event + 1)), "its journal has what it heard"

    if event <= LAST_GATE_AT:
        second = small_host.run("apply")
        assert second.result.outcome == "failed"
        assert f"another run is changing this host: run {run}, mode apply, by 'first@workstation'" in second.result.error
        assert not small_host.applied(second.id)
    small_host.release()
    wait_until(lambda: '"event":"finished"' in small_host.host_events(run).read_text("utf-8") and not small_host.lock())
    assert small_host.host_events(run).read_text("utf-8").splitlines()[:event] == kept
    assert small_host.applied(run) == list(STEPS)
    if event == LOOKED_UP:
        inventory = reader.load(small_host.inventories["steady"])
        shown: list[str] = []
        assert events(inventory, run, inventory.hosts["win1"], small_host.folder / "runs", None, PlainLines(shown.append)) == 0, shown
        held = (small_host.folder / "runs" / run / "win1" / "events.jsonl").read_bytes()
        assert held == small_host.host_events(run).read_bytes(), "the rest was fetched, and nothing twice"

    for again in (small_host.run("apply"), small_host.run("apply")):
        assert (again.result.outcome, again.result.changed, small_host.applied(again.id)) == ("ok", 0, [])
    assert small_host.guard() == "DWord:1" and not small_host.guard_task()
    assert small_host.run("undo").result.outcome == "ok"
    assert small_host.state() == before
    for shell in list(small_host.struck_endpoint.wsman.shells.values()):  # as its idle time-out would
        shell.kill()
    small_host.struck_endpoint.wsman.shells.clear()
