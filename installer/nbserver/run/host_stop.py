"""A request to stop the run of one host: from the operator, or because the host exceeded its own time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbserver.base.errors import ScriptError

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.transports.transport import Transport

GRACE = 120.0  # seconds for a script that was stopped to undo its temporary changes
ENDS = frozenset({"changed", "unchanged", "failed", "restored"})


class HostStop(threading.Event):
    """Is set when `everybody` is set, or when a limit is exceeded. Transports look at it between polls, and stop the script once.

    `total` and `step` are seconds; None is no limit. A transport in use closes the connection `GRACE` seconds after a limit, if the
    script has not ended by then.
    """

    def __init__(
        self,
        host: str,
        everybody: threading.Event,
        total: float | None = None,
        step: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._host, self._everybody, self._clock = host, everybody, clock
        self._total, self._step = total, step
        self._until = None if total is None else clock() + total
        self._step_until: float | None = None
        self._name = ""
        self._transport: Transport | None = None
        self.exceeded: ScriptError | None = None

    def is_set(self) -> bool:
        if self.exceeded is None:
            self.exceeded = self._found()
            if self.exceeded is not None and self._transport is not None:
                self._transport.deadline = min(self._transport.deadline, time.monotonic() + GRACE)
        return self.exceeded is not None or self._everybody.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        ends = None if timeout is None else self._clock() + timeout
        while not self.is_set():
            left = [until - self._clock() for until in (ends, self._until, self._step_until) if until is not None]
            if ends is not None and ends <= self._clock():
                return False
            self._everybody.wait(max(0.0, min(left)) if left else None)
        return True

    def watch(self, transport: Transport) -> Transport:
        """Return the transport, whose deadline a limit brings forward."""
        self._transport = transport
        return transport

    def heard(self, event: Event) -> None:
        """Take note of an event of the script: a step begins, or has ended."""
        if not event.step or self._step is None:
            return
        if event.event == "started":
            self._name, self._step_until = event.step, self._clock() + self._step
        elif event.event in ENDS and event.step == self._name:
            self._step_until = None

    def _found(self) -> ScriptError | None:
        now = self._clock()
        if self._step_until is not None and now >= self._step_until:
            return ScriptError(
                "step-too-slow",
                "the step {step} did not finish within {seconds} s, so nbserver stopped the script",
                host=self._host,
                todo="Check the host's load, or increase step_timeout in the inventory",
                step=self._name,
                seconds=f"{self._step:g}",
            )
        if self._until is not None and now >= self._until:
            return ScriptError(
                "host-too-slow",
                "the run did not finish within {seconds} s, so nbserver stopped it",
                host=self._host,
                todo="Check the host's load, or increase timeout in the inventory",
                seconds=f"{self._total:g}",
            )
        return None
