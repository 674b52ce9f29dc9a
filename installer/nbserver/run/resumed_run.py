"""Continue one host's run where an earlier process left it: follow it if it still runs, and start it at most once."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence

from nbserver.base.errors import HostError, ScriptError, StreamError
from nbserver.base.message import notice
from nbserver.base.modes import Mode
from nbserver.events.reader import Event
from nbserver.inventory.hosts import AnyHost
from nbserver.render.script import Script
from nbserver.run import past_host
from nbserver.run.chain import Head
from nbserver.run.envelope import PasswordHash
from nbserver.run.fetched_run import fetch
from nbserver.run.host_run import Connect, HostRun, Listener, restart_first
from nbserver.run.leg import OWNER, Leg
from nbserver.run.past_host import PastHost
from nbserver.run.record import Record
from nbserver.run.result import Result
from nbserver.transports.transport import StopRequested

ROUNDS = 3
# The codes with which a script refuses to start because the host has, or has just had, the run with this ID.
_HAS_RUN = ("run-id-used", "another-run-finished")
_RESTARTS = re.compile(r"(|-r\d+)(?:-(\d))?")


class ResumedRun:
    """Runs one script on one host that may have run it already, or may be running it.

    A host refuses a second run with the same ID. So a script of which the host knows nothing is sent again with the same ID, and is
    followed if it began after all.
    """

    def __init__(
        self,
        host: AnyHost,
        script: Script,
        mode: Mode,
        past: PastHost,
        journal: Record,
        listener: Listener,
        thorough: bool = False,
        repair: bool = False,
    ) -> None:
        self.host, self.script, self.mode = host, script, mode
        self._past, self._thorough, self._repair = past, thorough, repair
        self._journal, self._listener = journal, listener
        self.result = past.result
        for leg in past.legs:
            leg.script = script  # with its text

    def execute(
        self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event, password: PasswordHash | None = None
    ) -> Result:
        """Continue the run, and return the result of all its legs. Never raises."""

        def run(host_run: HostRun) -> Result:
            return host_run.execute(connect, operator, secrets, stop, password)

        self._journal.note(f"resuming the run {self._past.run}, attempt {self._past.number}")
        try:
            self._execute(run, connect, stop)
        except HostError as error:
            self.result.fail(error)
            self.result.changed = None
            self._journal.note(self.result.error)
        except StopRequested:
            self.result.outcome, self.result.changed = "stopped", None
            self.result.because(
                notice(
                    "resumed-run-goes-on",
                    "{name}: nbserver is no longer following the run, which is still in progress on the host. To continue, run nbserver resume again",
                    name=self.host.name,
                )
            )
        except BaseException as error:  # as in HostRun
            self.result.fail(error)
            for line in traceback.format_exception(error):
                self._journal.note(line)
        return self.result

    def fail(self, error: HostError) -> None:
        """Set the result of a run that was stopped on account of this error."""
        self.result.fail(error)
        self._journal.note(self.result.error)

    def _execute(self, run: Callable[[HostRun], Result], connect: Connect, stop: threading.Event) -> None:
        past, new = self._past, f"{self._past.run}-r{self._past.number}"
        leg, name = self._open_leg(), new if past.sent else past.run
        if self.mode == "test":
            leg, name = None, new  # the host keeps nothing of it
        for _ in range(ROUNDS):
            if leg is not None:
                if not leg.ended:
                    self._follow(leg, connect, stop)
                if leg.ended and not leg.restarting:
                    if leg.result.outcome == "reboot":
                        leg.result.because(restart_first(self.host, leg.words))
                    return
                if leg.ended or (leg.envelope.boot_before and not leg.last):
                    self.result = run(self._after_restart(leg if leg.ended else past.last or leg))
                    return
                name = leg.envelope.run if not leg.last and leg.envelope.run != name else new
            held = _Held(self._journal, self._listener, name)
            self.result = run(self._host_run(name, held, held.shown))
            if not held.refused:
                return held.release()
            self._journal.note(f"the host has the run {name}; requesting its events")
            leg = past_host.new_leg(past, self.script, self.mode, name)
            self.result = leg.result

    def _open_leg(self) -> Leg | None:
        """Return the leg that may still run, or after which Windows restarts, or None if the script must be sent again."""
        past, last = self._past, self._past.last
        if past.sent and (last is None or (last.envelope.run != past.sent and last.hashed)):
            return past_host.new_leg(past, self.script, self.mode, past.sent)
        if last is None or (last.ended and not (last.restarting and self.result.outcome == "reboot")):
            return None
        return last

    def _follow(self, leg: Leg, connect: Connect, stop: threading.Event) -> None:
        """Take the events that the host has of this leg. If it has none, or no end, the leg stays as it is. Raises HostError."""
        self.result.because(None)

        def heard(event: Event) -> None:
            self._journal.event(event)
            self._listener(self.host.name, event)

        try:
            fetch(leg, connect, stop, heard)
        except StreamError:
            raise
        except ScriptError as error:
            self._journal.note(str(error))

    def _host_run(self, name: str, journal: Record, listener: Listener) -> HostRun:
        past, last = self._past, self._past.last
        changed = last.changed_before + last.changes if last else 0
        result = Result(self.host.name, changed=changed, steps=dict(past.result.steps))
        return HostRun(self.host, self.script, self.mode, name, journal, listener, self._thorough, self._repair, result)

    def _after_restart(self, leg: Leg) -> HostRun:
        """Return the run that waits until Windows has restarted, and then continues."""
        found = _RESTARTS.fullmatch(leg.envelope.run.removeprefix(self._past.run))
        base, number = (found[1], int(found[2] or 1)) if found else (f"-r{self._past.number}", 1)
        run = self._host_run(self._past.run + base, self._journal, self._listener)
        leg.result = run.result
        run.result.outcome, run.result.changed, leg.restarting = "reboot", leg.changed_before + leg.changes, True
        run.after_restart(leg, number + 1)
        return run


class _Held:
    """Holds the events of a script until it has started. `refused` is whether it did not, because the host has the run `name`."""

    def __init__(self, journal: Record, listener: Listener, name: str) -> None:
        self._journal, self._listener, self._name = journal, listener, name
        self._events: list[Event] | None = []
        self._shown: list[tuple[str, Event]] = []
        self.refused = False

    def sent(self, envelope: Sequence[str] = ()) -> Head:
        return self._journal.sent(envelope)

    def note(self, text: str, time: str = "") -> None:
        self._journal.note(text, time)

    def event(self, event: Event) -> None:
        if self._events is None:
            return self._journal.event(event)
        self._events.append(event)
        if event.event == "started":
            self.release()
        elif event.event == "failed":
            self.refused = self.refused or self._is_refusal(event)

    def shown(self, name: str, event: Event) -> None:
        if self._events is None:
            self._listener(name, event)
        else:
            self._shown.append((name, event))

    def release(self) -> None:
        """Pass on what was held."""
        held, self._events = self._events or [], None
        for event in held:
            self._journal.event(event)
        for name, event in self._shown:
            self._listener(name, event)
        self._shown = []

    def _is_refusal(self, event: Event) -> bool:
        code, owner = event.data.get("code"), OWNER.match(str(event.data.get("values", {}).get("owner", "")))
        return code in _HAS_RUN or (code == "run-in-progress" and owner is not None and owner[1] == self._name)
