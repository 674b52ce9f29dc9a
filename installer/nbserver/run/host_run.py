"""One host's run: connect, run its script, keep what it says, and say how it ended."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from nbserver.base.errors import AuthenticationError, CertificateError, ConnectError, HostError, HostKeyError, ScriptError, StreamError
from nbserver.base.plain_text import clean
from nbserver.events.reader import Event
from nbserver.inventory.hosts import AnyHost
from nbserver.render.script import Script
from nbserver.run.envelope import Envelope, Mode, PasswordHash
from nbserver.run.journal import HostJournal
from nbserver.run.leg import Leg
from nbserver.run.result import Result
from nbserver.transports.transport import StopRequested, Transport

Connect = Callable[[], Transport]
Listener = Callable[[str, Event], None]

# After a lost connection: how often and how soon (seconds) the run is looked for again.
REJOIN_PAUSES = (2.0, 5.0, 15.0)


# A host that restarts: how often in one run, how soon it is looked for each time, and how long at most (seconds).
RESTARTS = 3
RESTART_PAUSE = 15.0
RESTART_TIMEOUT = 1800.0

# Seconds for one run of the script, and for what it does after it said how it ended.
RUN_TIMEOUT = 6 * 3600.0
END_TIMEOUT = 120.0


def _deadline() -> float:
    return time.monotonic() + RUN_TIMEOUT


class HostRun:
    """Runs one script on one host. Errors end up in the result, whatever they are: the other hosts go on."""

    def __init__(self, host: AnyHost, script: Script, mode: Mode, run: str, journal: HostJournal, listener: Listener) -> None:
        self.host, self.script, self.mode, self.run = host, script, mode, run
        self._journal, self._listener = journal, listener
        self._password: PasswordHash | None = None
        self.result = Result(host.name)

    def execute(
        self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event, password: PasswordHash | None = None
    ) -> Result:
        """The whole run, over the restarts that the inventory allows. Raises nothing."""
        self._password = password
        try:
            self._execute(connect, operator, secrets, stop)
        except BaseException as error:  # a panic in a library is no Exception; no Ctrl-C comes to a thread
            self.result.fail(error)
            for line in traceback.format_exception(error):
                self._journal.note(line)
        return self.result

    def _execute(self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event) -> None:
        allowed = RESTARTS if self._may_restart() and self.mode in ("apply", "request") else 0
        envelope = Envelope(self.mode, self.run, operator, secrets=secrets, restarts=allowed)
        self._run_leg(connect, Leg(self.host.name, self.script, envelope, self.result, _deadline()), stop)
        for number in range(2, allowed + 2):
            if self.result.outcome == "reboot" and self._leg.restarting:
                again = replace(envelope, run=f"{self.run}-{number}", boot_before=self._leg.boot, restarts=allowed - number + 1)
                self._come_back(connect, again, stop)
        if self.result.outcome == "reboot":
            self.result.error = self._restart_first()

    def _come_back(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> None:
        """Waits until Windows has restarted, and goes on: the same script, in a run of its own on the host."""
        self._journal.note(f"waiting for {self.host.name} to restart")
        before = self.result.changed
        until = time.monotonic() + RESTART_TIMEOUT
        while not stop.wait(RESTART_PAUSE):
            self.result.error = ""
            former = self._leg
            leg = Leg(self.host.name, self.script, envelope, self.result, _deadline(), before, former.boot, former.words)
            error = self._run_leg(connect, leg, stop)
            down = isinstance(error, (ConnectError, AuthenticationError)) and not leg.last
            if self.result.outcome != "waiting" and not down:
                return
            if time.monotonic() > until:
                lost = ConnectError(f"it has not come back within {RESTART_TIMEOUT / 60:.0f} minutes of its restart", host=self.host.name)
                return self._fail(error or lost)
        self.result.outcome = "stopped"

    def _may_restart(self) -> bool:
        return self.host.reboot == "if-needed"

    def _restart_first(self) -> str:
        if self._may_restart() and self._leg.words:
            return f"{self.host.name}: {clean(self._leg.words)}."
        todo = "Restart it, then run this again"
        if "reboot" in type(self.host).model_fields and not self._may_restart():
            todo += ', or let it be restarted: reboot = "if-needed" in the inventory'
        return f"{self.host.name}: Windows has to restart before this can go on. {todo}."

    def _run_leg(self, connect: Connect, leg: Leg, stop: threading.Event) -> HostError | None:
        """One run of the script; the error that ended it here. Only HostError and StopRequested are answered; anything
        else is a defect.
        """
        self._leg = leg
        answer: HostError | None = None
        try:
            self._transport = transport = self._timed(connect)
            try:
                self._hear(self._run(transport))
                # The last event has none after it that would show its loss.
                if leg.gap or (self.mode != "test" and not leg.ended and leg.last):
                    self._hear_again(transport)
            finally:
                self._close(transport)
        except ConnectError as error:
            answer = error
            if leg.ended:
                self._journal.note(str(error))
            elif self.result.outcome == "running" and self.mode != "test":
                self._rejoin(connect, stop, error)
            else:
                self._fail(error)
        except HostError as error:
            answer = error
            if leg.ended and isinstance(error, StreamError):
                self._journal.note(str(error))
            else:
                self._fail(error)
        except StopRequested:
            self.result.outcome = "stopped"
        if self.result.outcome == "running":
            self._fail(ScriptError("the script ended without saying how", host=self.host.name, todo="Run this again"))
        return answer

    def _timed(self, connect: Connect) -> Transport:
        transport = connect()
        transport.deadline = self._leg.until
        return transport

    def _close(self, transport: Transport) -> None:
        """Has its own time, after a run that had too much too: what still runs in a shell on the host ends with the shell."""
        transport.deadline = time.monotonic() + END_TIMEOUT
        transport.close()

    def _run(self, transport: Transport) -> Iterator[str]:
        """A stopped script closes its brackets in silence: what it did then is fetched from its own record of events."""
        self.result.outcome = "running"
        try:
            yield from transport.run(self.script.text, self._complete(self._leg.envelope).lines())
        except StopRequested:
            if self.mode == "test" or self._leg.last == 0:
                raise
            yield from self._missed(transport)

    def _missed(self, transport: Transport) -> Iterator[str]:
        """What the host has kept of this run's events after the last one that came."""
        return transport.run(self.script.text, Envelope("events", self._leg.envelope.run, after=self._leg.last).lines())

    def _complete(self, envelope: Envelope) -> Envelope:
        """The envelope with what is made only for a host that has answered: the time, and the hash of the password."""
        envelope = replace(envelope, time=datetime.now(UTC))
        if self._password is None:
            return envelope
        secrets = {**envelope.secrets, "notebook.password_hash": self._password.compute()}
        return replace(envelope, secrets=secrets, former_salt=self._password.former_salt, new_salt=self._password.new_salt)

    def _rejoin(self, connect: Connect, stop: threading.Event, lost: HostError) -> None:
        """The script may have gone on: asks it for the events after the last one that came.

        A host that knows no such run yet may just be starting it, so that answer is not believed at once.
        """
        for pause in REJOIN_PAUSES:
            self._journal.note(f"{lost} Asking for the events after {self._leg.last} in {pause:.0f} s.")
            if stop.wait(pause):
                break
            self._leg.gap = False
            try:
                self._transport = transport = self._timed(connect)
                try:
                    self._hear(self._missed(transport))
                finally:
                    self._close(transport)
            except StopRequested:
                break
            except (CertificateError, HostKeyError, StreamError) as error:  # it is another host, or says what no script says
                if not self._leg.ended:
                    return self._fail(error)
                self._journal.note(str(error))
            except HostError as error:
                self._journal.note(str(error))
            if self.result.outcome != "running":
                return
        self._fail(lost)

    def _hear_again(self, transport: Transport) -> None:
        """Events were lost on the way and the script has ended: its host still has them."""
        self._journal.note(f"events after {self._leg.last} were lost on the way; asking for them")
        self._leg.gap = False
        self._hear(self._missed(transport))
        if self._leg.gap:
            raise ScriptError("the host's record of its events has a gap", host=self.host.name, todo="Run this again")

    def _hear(self, lines: Iterator[str]) -> None:
        """Takes the events as they come. For what comes behind the last one there is only some time."""
        leg = self._leg
        for line in lines:
            if leg.ended:
                continue
            event = leg.hear(line)
            if leg.ended:
                self._transport.deadline = min(leg.until, time.monotonic() + END_TIMEOUT)
            if event:
                self._journal.event(event)  # what was refused is no evidence of what happened; the log says why it was
                self._listener(self.host.name, event)

    def _fail(self, error: HostError) -> None:
        self.result.fail(error)
        self._journal.note(str(error))
