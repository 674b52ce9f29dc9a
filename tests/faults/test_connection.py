"""The connection is cut at every packet that a run sends: it ends well, every event is kept once, nothing runs twice."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.notebooks.part import Part
from nbserver.run.delivery import Delivery
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.transports.psrp.transport import PsrpTransport
from nbserver.transports.transport import Transport
from tests.faults.fixtures import at_once, small_host, wire  # noqa: F401
from tests.faults.small_host import PASSWORD, Ran, SmallHost
from tests.faults.small_script import STEPS, small_script
from tests.faults.wire import Cut, Wire
from tests.tier import points

# Of an undisturbed apply: what each answer carries. Event 8 is longer than a fragment.
PACKETS = [*(f"event {n}" for n in range(1, 9)), *["event 8, more"] * 2, *(f"event {n}" for n in range(9, 21)), "end"]
POINTS = range(1, len(PACKETS) + 1)
LAST_EVENT = 20


@pytest.fixture
def before(small_host: SmallHost) -> dict[str, Any]:
    return small_host.prepare()


@pytest.fixture(scope="module")
def undisturbed(small_host: SmallHost, wire: Wire) -> Iterator[list[tuple[int, str, str]]]:
    """The events of an undisturbed apply."""
    small_host.prepare()
    wire.arm()
    ran = small_host.run("apply", small_host.struck)
    assert ran.result.outcome == "ok", ran.result.error
    assert wire.log[0].given == PACKETS
    yield ran.told


def whole(host: SmallHost, ran: Ran, undisturbed: list[tuple[int, str, str]]) -> None:
    """The run ended well, was heard once and whole, ran once, and left its bracket closed."""
    assert (ran.result.outcome, ran.result.error) == ("ok", ""), ran.log
    assert ran.told == undisturbed
    assert ran.lines == host.host_events(ran.id).read_text("utf-8").splitlines()
    assert host.applied(ran.id) == list(STEPS)
    assert host.guard() == "DWord:1" and not host.guard_task()


def undone(host: SmallHost, before: dict[str, Any], connect: Any = None) -> None:
    assert host.run("undo", connect).result.outcome == "ok"
    assert host.state() == before


def cut(host: SmallHost, wire: Wire, cuts: dict[int, Cut], mode: Mode = "apply") -> Ran:
    wire.arm(**{f"p{point}": kind for point, kind in cuts.items()})
    ways = iter([host.struck])
    return host.run(mode, lambda: next(ways, host.steady))


@pytest.mark.parametrize("kind", ["before", "after"])
def test_cut_at_every_packet(small_host: SmallHost, wire: Wire, undisturbed: Any, before: Any, kind: Cut) -> None:
    """The same shell is joined again, each time; nothing is lost. And so it is with undo."""
    ran = cut(small_host, wire, dict.fromkeys(POINTS, kind))
    whole(small_host, ran, undisturbed)
    assert wire.log[0].given == PACKETS and not wire.log[0].cuts, "every cut was made, and the run was heard in one pipeline"
    ran = cut(small_host, wire, dict.fromkeys(range(1, 10), kind), "undo")
    assert (
        ran.result.outcome == "ok" and not wire.log[0].cuts and ran.lines == small_host.host_events(ran.id).read_text("utf-8").splitlines()
    )
    assert small_host.state() == before


# The first event; the long one, its parts, and what follows; an event of a step that changes; the last event, and the end.
@pytest.mark.parametrize("point", points(POINTS, 1, 8, 10, 16, 23), ids=lambda point: f"{point}-{PACKETS[point - 1].replace(' ', '-')}")
def test_answer_cut_in_the_middle(small_host: SmallHost, wire: Wire, undisturbed: Any, before: Any, point: int) -> None:
    """What the answer carried is lost on the way; the host still has it."""
    ran = cut(small_host, wire, {point: "in"})
    small_host.struck.forget()  # its pipeline was left as it was
    assert not wire.log[0].cuts
    if not PACKETS[point - 1].startswith("event 8"):  # without a part of its message a pipeline cannot be read on
        assert "Requesting the events" not in ran.log, "it was heard on in the same shell"
    whole(small_host, ran, undisturbed)
    if point % 4 == 0:
        undone(small_host, before)


@pytest.mark.parametrize("point", points(POINTS, 8, 23))
def test_answer_that_never_comes(small_host: SmallHost, wire: Wire, undisturbed: Any, before: Any, point: int) -> None:
    """The connection is reset instead of an answer: the same shell is joined again, and what was lost is asked for."""
    ran = cut(small_host, wire, {point: "lost"})
    assert not wire.log[0].cuts
    whole(small_host, ran, undisturbed)


@pytest.mark.parametrize("point", points(range(1, len(PACKETS), 5), 1, 11))
def test_connection_gone_while_the_run_goes_on(small_host: SmallHost, wire: Wire, undisturbed: Any, before: Any, point: int) -> None:
    """The first shell is never reached again: the rest is heard through another one, while the run goes on in the first."""
    ran = lost_for_good(small_host, wire, {point: "gone"}, PACKETS[point - 1])
    whole(small_host, ran, undisturbed)


@pytest.mark.parametrize("point", points([1, 4, 12, 19], 4, 19))
def test_an_answer_is_lost_and_then_the_connection(small_host: SmallHost, wire: Wire, undisturbed: Any, before: Any, point: int) -> None:
    """One answer never comes; two answers later the connection is gone for good."""
    ran = lost_for_good(small_host, wire, {point: "lost", point + 2: "gone"}, PACKETS[point + 1])
    whole(small_host, ran, undisturbed)


def lost_for_good(host: SmallHost, wire: Wire, cuts: dict[int, Cut], name: str) -> Ran:
    """The run is held behind the event of the last cut until the second connection listens."""
    host.order("hold", f"event {name.split(' ')[1].rstrip(',')}")
    connections = 0

    def connect() -> Transport:
        nonlocal connections
        connections += 1
        if connections == 1:
            return host.struck
        if connections == 2:  # one that comes late would let the next test's run go
            threading.Timer(0.3, host.release).start()
        return host.steady

    wire.arm(**{f"p{point}": kind for point, kind in cuts.items()})
    ran = host.run("apply", connect)
    host.struck.forget()
    assert connections > 1 and not wire.log[0].cuts
    return ran


@pytest.mark.parametrize(
    ("action", "number", "answered"),
    points([("Command", 1, False), ("Command", 1, True), ("Send", 1, False), ("Send", 1, True)], ("Command", 1, True), ("Send", 1, False)),
)
def test_cut_while_the_script_is_sent(
    small_host: SmallHost,
    wire: Wire,
    undisturbed: Any,
    before: Any,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    number: int,
    answered: bool,
) -> None:
    """Either the run goes on and is heard whole, or nothing ran and the message says so; the next run does it all."""
    monkeypatch.setattr("nbserver.run.host_run.REJOIN_PAUSES", (0.2, 1.0, 10.0))  # a script that was sent needs time to start
    wire.arm()
    wire.arm_request(action, number, answered)
    ways = iter([small_host.struck])
    ran = small_host.run("apply", lambda: next(ways, small_host.steady))
    small_host.struck.forget()
    assert wire.lose is None, "it was cut"
    if ran.result.outcome == "ok":
        whole(small_host, ran, undisturbed)
    else:
        assert "the connection to" in ran.result.error and not ran.lines
        assert not small_host.applied(ran.id) and small_host.state() == before
        whole(small_host, small_host.run("apply"), undisturbed)


# What the endpoint gets wrong once: while the shell opens, and while the script of a plan, which changes nothing, is sent.
ONCE = [("status_503", "Create"), ("drop_responses", "Command")]


def test_a_fault_that_passes_before_the_first_event(small_host: SmallHost, before: Any) -> None:
    faults = small_host.struck_endpoint.faults
    for fault, action in ONCE:
        setattr(faults, fault, 1)
        faults.match = action
        ran = small_host.run("test", lambda: PsrpTransport(small_host.struck.host, PASSWORD, threading.Event()))
        faults.match = ""
        assert getattr(faults, fault) == 0, "it happened"
        assert (ran.result.outcome, ran.result.error) == ("differs", ""), f"{fault} at {action}: {ran.log}"
        assert [event["n"] for event in ran.events] == list(range(1, len(ran.events) + 1))


@pytest.mark.parametrize("answered", points([False, True], True), ids=lambda answered: "after" if answered else "before")
def test_cut_in_the_middle_of_a_delivery(small_host: SmallHost, wire: Wire, before: Any, tmp_path: Path, answered: bool) -> None:
    """Nothing has begun on the host: it is sent once more, and no run that waits for the rest has the lock."""
    data = os.urandom(1_000_000)
    (tmp_path / "python.zip").write_bytes(data)
    part = Part("python.zip", len(data), hashlib.sha256(data).hexdigest(), 0, len(data))
    script = small_script(
        "win1",
        downloads={"source": "push"},
        python={"url": "https://example.com/python.zip", "sha256": part.sha256, "size": part.size, "sources": []},
    )
    journal = Journal(small_host.folder / "runs", new_run_id(), "deliver", "me")
    record, delivery = journal.host(script), Delivery({part.path: tmp_path / part.path}, (part,))
    wire.arm()
    wire.arm_request("Send", 3, answered)
    run = HostRun(small_host.struck.host, script, "deliver", journal.run, record, lambda name, event: None, parts=(part,))
    try:
        result = run.execute(
            lambda: delivery.watch(PsrpTransport(small_host.struck.host, PASSWORD, threading.Event()), "win1", []),
            "me",
            {},
            threading.Event(),
        )
    finally:
        record.close()
    assert wire.lose is None, "it was cut"
    assert (result.outcome, result.error) == ("ok", ""), small_host.ran(journal.run, result).log
    assert [(file.path, file.state) for file in result.files] == [("python.zip", "stored")]
    assert (small_host.state_folder / "downloads" / "python.zip").read_bytes() == data
