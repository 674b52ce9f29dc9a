"""One host's run: connect, run its script, keep what it says, and say how it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from installer.envelope import Envelope, Mode, PasswordHash
from installer.errors import AuthenticationError, ConnectError, HostError, ScriptError
from installer.events import Event, EventError, Sequence, parse
from installer.host_settings import Host
from installer.journal import HostJournal
from installer.linux_settings import AnyHost
from installer.script import Script
from installer.transports import StopRequested, Transport

Connect = Callable[[], Transport]
Listener = Callable[[str, Event], None]

# After a lost connection: how often and how soon (seconds) the run is looked for again.
REJOIN_PAUSES = (2.0, 5.0, 15.0)

# A host that restarts: how often in one run, how soon it is looked for each time, and how long at most (seconds).
RESTARTS = 3
RESTART_PAUSE = 15.0
RESTART_TIMEOUT = 1800.0


@dataclass
class Result:
    """How a run ended on a host. `outcome`: ok, differs (plan), failed, stopped, or reboot (Windows has to restart before it
    goes on); `steps` maps a step to its last word, over all restarts.
    """

    host: str
    outcome: str = "failed"
    changed: int = 0
    reboot: bool = False
    fingerprint: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    error: str = ""
    csr: str = ""

    def as_json(self) -> dict[str, Any]:
        """The host's part of the summary."""
        return {
            "outcome": self.outcome,
            "changed": self.changed,
            "reboot": self.reboot,
            "steps": self.steps,
            **({"error": self.error} if self.error else {}),
        }


class HostRun:
    """Runs one script on one host. Errors end up in the result: the other hosts go on."""

    def __init__(self, host: AnyHost, script: Script, mode: Mode, run: str, journal: HostJournal, listener: Listener) -> None:
        self.host, self.script, self.mode, self.run = host, script, mode, run
        self._journal, self._listener = journal, listener
        self._sequence = Sequence()
        self._gap = self._ended = False
        self._boot = self._words = ""
        self._restarting = False
        self._password: PasswordHash | None = None
        self._changed = 0
        self.result = Result(host.name)

    def execute(self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event, password: PasswordHash | None = None) -> Result:
        """The whole run, over the restarts that the inventory allows."""
        self._password = password
        allowed = RESTARTS if self._may_restart() and self.mode in ("apply", "request") else 0
        envelope = Envelope(self.mode, self.run, operator, secrets=secrets, restarts=allowed)
        self._leg(connect, envelope, stop)
        for leg in range(2, allowed + 2):
            if self.result.outcome == "reboot" and self._restarting:
                again = replace(envelope, run=f"{self.run}-{leg}", boot_before=self._boot, restarts=allowed - leg + 1)
                self._come_back(connect, again, stop)
        if self.result.outcome == "reboot":
            self.result.error = self._restart_first()
        return self.result

    def _come_back(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> None:
        """Waits until Windows has restarted, and goes on: the same script, in a run of its own on the host."""
        self._journal.note(f"waiting for {self.host.name} to restart")
        self._changed = self.result.changed
        until = time.monotonic() + RESTART_TIMEOUT
        while not stop.wait(RESTART_PAUSE):
            self._sequence, self._gap, self._ended, self._restarting = Sequence(), False, False, False
            self.result.error = ""
            error = self._leg(connect, envelope, stop)
            down = isinstance(error, (ConnectError, AuthenticationError)) and not self._sequence.last
            if self.result.outcome != "waiting" and not down:
                return
            if time.monotonic() > until:
                lost = ConnectError(f"it has not come back within {RESTART_TIMEOUT / 60:.0f} minutes of its restart", host=self.host.name)
                return self._fail(error or lost)
        self.result.outcome = "stopped"

    def _may_restart(self) -> bool:
        return isinstance(self.host, Host) and self.host.reboot == "if-needed"

    def _restart_first(self) -> str:
        if self._may_restart() and self._words:
            return f"{self.host.name}: {self._words}."
        todo = "Restart it, then run this again"
        if isinstance(self.host, Host) and not self._may_restart():
            todo += ', or let it be restarted: reboot = "if-needed" in the inventory'
        return f"{self.host.name}: Windows has to restart before this can go on. {todo}."

    def _leg(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> HostError | None:
        """One run of the script; the error that ended it here. Only HostError and StopRequested are answered; anything
        else is a defect.
        """
        self._run_id = envelope.run
        answer: HostError | None = None
        try:
            transport = connect()
            try:
                self._hear(self._run(transport, envelope))
                # The last event has none after it that would show its loss.
                if self._gap or (self.mode != "test" and not self._ended and self._sequence.last):
                    self._hear_again(transport)
            finally:
                transport.close()
        except ConnectError as error:
            answer = error
            if self._ended:
                self._journal.note(str(error))
            elif self.result.outcome == "running" and self.mode != "test":
                self._rejoin(connect, stop, error)
            else:
                self._fail(error)
        except HostError as error:
            answer = error
            self._fail(error)
        except StopRequested:
            self.result.outcome = "stopped"
        if self.result.outcome == "running":
            self._fail(ScriptError("the script ended without saying how", host=self.host.name, todo="Run this again"))
        return answer

    def _run(self, transport: Transport, envelope: Envelope) -> Iterator[str]:
        """A stopped script closes its brackets in silence: what it did then is fetched from its own record of events."""
        self.result.outcome = "running"
        try:
            yield from transport.run(self.script.text, self._complete(envelope).lines())
        except StopRequested:
            if self.mode == "test" or self._sequence.last == 0:
                raise
            yield from transport.run(self.script.text, Envelope("events", self._run_id, after=self._sequence.last).lines())

    def _complete(self, envelope: Envelope) -> Envelope:
        """The envelope with what is made only for a host that has answered: the time, and the hash of the password."""
        envelope = replace(envelope, time=datetime.now(timezone.utc))
        if self._password is None:
            return envelope
        secrets = {**envelope.secrets, "notebook.password_hash": self._password.compute()}
        return replace(envelope, secrets=secrets, former_salt=self._password.former_salt, new_salt=self._password.new_salt)

    def _rejoin(self, connect: Connect, stop: threading.Event, lost: HostError) -> None:
        """The script may have gone on: asks it for the events after the last one that came.

        A host that knows no such run yet may just be starting it, so that answer is not believed at once.
        """
        for pause in REJOIN_PAUSES:
            self._journal.note(f"{lost} Asking for the events after {self._sequence.last} in {pause:.0f} s.")
            if stop.wait(pause):
                break
            self._gap = False
            try:
                transport = connect()
                try:
                    self._hear(transport.run(self.script.text, Envelope("events", self._run_id, after=self._sequence.last).lines()))
                finally:
                    transport.close()
            except StopRequested:
                break
            except (ConnectError, ScriptError) as error:
                self._journal.note(str(error))
            if self.result.outcome != "running":
                return
        self._fail(lost)

    def _hear_again(self, transport: Transport) -> None:
        """Events were lost on the way and the script has ended: its host still has them."""
        self._journal.note(f"events after {self._sequence.last} were lost on the way; asking for them")
        self._gap = False
        self._hear(transport.run(self.script.text, Envelope("events", self._run_id, after=self._sequence.last).lines()))
        if self._gap:
            raise ScriptError("the host's record of its events has a gap", host=self.host.name, todo="Run this again")

    def _hear(self, lines: Iterator[str]) -> None:
        """Takes the events as they come. From a gap on they are only let go by: they come again, with those before them."""
        for line in lines:
            try:
                event = parse(line)
            except EventError as error:
                raise self._broken(error) from None
            if event.event == "finished" and event.data.get("outcome") == "waiting":
                self.result.outcome, self._ended = "waiting", True
                continue
            try:
                new = not self._gap and self._sequence.accept(event)
            except EventError as error:
                if self.mode == "test":
                    raise self._broken(error) from None
                self._gap, new = True, False
            if new:
                self._journal.event(event)
                self._take(event)
                self._listener(self.host.name, event)

    def _broken(self, error: EventError) -> ScriptError:
        return ScriptError(f"the script's stream is broken: {error}", host=self.host.name, todo="Run this again")

    def _take(self, event: Event) -> None:
        result, data = self.result, event.data
        if event.n == 1 and event.event != "failed" and data.get("script_sha256") != self.script.sha256:
            raise ScriptError(
                f"the host ran a script with SHA-256 {data.get('script_sha256', 'unknown')}, sent was {self.script.sha256}",
                host=self.host.name,
                todo="Something between here and there changes scripts; find it before you go on",
            )
        if event.event == "started" and not event.step:
            self._boot = str(data.get("boot") or "")
        if event.event == "unchanged" and result.steps.get(event.step) == "changed":
            return  # before a restart
        if event.event == "difference":
            result.steps[event.step] = "differs"
        elif event.event in ("changed", "unchanged", "failed", "restored") and event.step:
            result.steps[event.step] = event.event
        if event.event == "failed":
            result.error = f"{self.host.name}, {event.step or 'script'}: {data.get('text', '')}"
        if event.event == "warning" and not event.step:
            self._words = str(data.get("text", ""))  # the last one says why Windows is not restarted
        if event.event == "request":
            result.csr = str(data.get("csr") or "")
        if event.event == "finished":
            self._finish(data)

    def _finish(self, data: Mapping[str, Any]) -> None:
        self._ended = True
        result = self.result
        outcome = str(data.get("outcome"))
        result.outcome = "differs" if outcome == "ok" and self.mode == "test" and data.get("differs") else outcome
        result.changed = self._changed + int(data.get("changed") or 0)
        result.reboot = bool(data.get("reboot"))
        self._restarting = bool(data.get("restarting"))
        result.fingerprint = str(data.get("fingerprint") or "")

    def _fail(self, error: HostError) -> None:
        self.result.outcome = "failed"
        self.result.error = str(error)
        self._journal.note(str(error))


