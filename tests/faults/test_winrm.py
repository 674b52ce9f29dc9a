"""transport = "winrm": the connection is lost for good in the middle of a run, and another one asks for the rest."""

from __future__ import annotations

import threading

import pytest

from nbserver.transports.transport import Transport
from nbserver.transports.winrm.transport import WinrmTransport
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_host import PASSWORD, SmallHost, wait_until
from tests.faults.small_script import STEPS
from tests.tier import points

LAST_EVENT = 20


def heard(host: SmallHost) -> int:
    """How many events the newest run's journal has."""
    files = sorted((host.folder / "runs").glob("*/win1/events.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    return len(files[-1].read_text("utf-8").splitlines()) if files else 0


@pytest.mark.parametrize("point", points([1, 4, 9, 15], 1, 9))
def test_a_command_shell_that_is_lost(small_host: SmallHost, monkeypatch: pytest.MonkeyPatch, point: int) -> None:
    """After event `point` no answer comes any more; the script goes on in its shell, and is heard through another one."""
    monkeypatch.setattr("nbserver.transports.winrm.transport.RECONNECT_PAUSES", (0.0, 0.0, 0.1))
    before = small_host.prepare()
    faults = small_host.struck_endpoint.faults
    runs = len(list((small_host.folder / "runs").glob("*"))) if (small_host.folder / "runs").exists() else 0
    connections: list[int] = []

    def cut() -> None:
        wait_until(lambda: len(list((small_host.folder / "runs").glob("*"))) > runs and heard(small_host) >= point)
        faults.match, faults.drop_requests = "/Receive", 1000
        small_host.order("hold", f"event {point + 2}")  # what comes now ends the Receive that waits; the next one is cut

    def connect() -> Transport:
        connections.append(heard(small_host))
        if len(connections) == 1:
            threading.Thread(target=cut, daemon=True).start()
        else:
            faults.match, faults.drop_requests = "", 0
            threading.Timer(0.3, small_host.release).start()
        return WinrmTransport(small_host.struck.host, PASSWORD, threading.Event())

    small_host.order("hold", f"event {point}")
    try:
        ran = small_host.run("apply", connect)
    finally:
        faults.match, faults.drop_requests = "", 0
    assert (ran.result.outcome, ran.result.error) == ("ok", ""), ran.log
    assert len(connections) == 2 and point <= connections[1] < LAST_EVENT, connections
    assert f"Requesting the events after event {connections[1]}" in ran.log
    assert [event["n"] for event in ran.events] == list(range(1, LAST_EVENT + 1))
    assert ran.lines == small_host.host_events(ran.id).read_text("utf-8").splitlines()
    assert small_host.applied(ran.id) == list(STEPS)
    assert small_host.guard() == "DWord:1" and not small_host.guard_task()
    assert small_host.run("undo").result.outcome == "ok" and small_host.state() == before
