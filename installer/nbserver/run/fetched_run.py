"""Fetch the events of a run from the host's own journal, at any time: also of a run that another workstation started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nbserver.base.errors import ConnectError, HostError, ScriptError
from nbserver.base.message import message
from nbserver.events.reader import Event
from nbserver.run import host_run
from nbserver.run.envelope import Envelope
from nbserver.run.leg import Leg
from nbserver.transports.transport import Transport


@dataclass
class FetchedLeg(Leg):
    """The events of a run that may have had another script, such as one of another release. `sent_sha256` is its hash, if known."""

    sent_sha256: str = ""

    def _begin(self, event: Event) -> None:
        if event.n != 1 or event.data["run"] != self.envelope.run:
            raise self._broken(message("fetched-other-run", "the events belong to a different run"))
        if self.sent_sha256 and event.data["script_sha256"] != self.sent_sha256:
            raise self._another_script(event.data["script_sha256"], self.sent_sha256)
        self.hashed = True


def fetch(leg: Leg, connect: Callable[[], Transport], stop: threading.Event, heard: Callable[[Event], None]) -> None:
    """Call `heard` for each event after `leg.last`, until the run ends. Its end is in the leg's result.

    A lost connection is opened again, as in a run. Raises HostError and StopRequested.
    """
    for pause in (*host_run.REJOIN_PAUSES, None):
        leg.gap = False
        try:
            return _fetch(leg, connect, heard)
        except ConnectError:
            if pause is None or stop.wait(pause):
                raise


def _fetch(leg: Leg, connect: Callable[[], Transport], heard: Callable[[Event], None]) -> None:
    transport = connect()
    transport.deadline = leg.until
    try:
        for line in transport.run(leg.script.text, Envelope("events", leg.envelope.run, after=leg.last).lines()):
            if event := leg.hear(line):
                heard(event)
    finally:
        transport.deadline = time.monotonic() + host_run.END_TIMEOUT
        transport.close()
    if leg.gap:
        raise ConnectError(
            "fetched-events-lost",
            "some of the host's events were lost on the way to this workstation",
            host=leg.host,
            todo="Run the command again",
        )
    if not leg.ended:
        raise _without_end(leg)


def _without_end(leg: Leg) -> HostError:
    if not leg.last:
        return ScriptError(
            "run-not-on-host",
            "the host has no events for run {run}",
            host=leg.host,
            todo="Check the run ID; plan does not keep its events on the host",
            run=leg.envelope.run,
        )
    return ScriptError(
        "run-without-end",
        "run {run} stopped without reporting a result: its script was terminated, or the host restarted",
        host=leg.host,
        todo="Run nbserver apply again; it continues where the run stopped",
        run=leg.envelope.run,
    )
