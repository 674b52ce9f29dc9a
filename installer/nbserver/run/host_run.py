"""One host's run: connect, run its script, keep what it says, and say how it ended."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nbserver.base.errors import (
    AuthenticationError,
    CertificateError,
    ConnectError,
    HostError,
    HostKeyError,
    NbserverError,
    ScriptError,
    StreamError,
)
from nbserver.base.plain_text import clean
from nbserver.events.reader import Event, EventError, EventOrder, parse
from nbserver.inventory.linux_host import AnyHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.script import Script
from nbserver.run.envelope import Envelope, Mode, PasswordHash
from nbserver.run.journal import HostJournal
from nbserver.transports import StopRequested, Transport

Connect = Callable[[], Transport]
Listener = Callable[[str, Event], None]

# After a lost connection: how often and how soon (seconds) the run is looked for again.
REJOIN_PAUSES = (2.0, 5.0, 15.0)

LONGEST_ERROR = 12_000  # characters

# A host that restarts: how often in one run, how soon it is looked for each time, and how long at most (seconds).
RESTARTS = 3
RESTART_PAUSE = 15.0
RESTART_TIMEOUT = 1800.0

# Seconds for one run of the script, and for what it does after it said how it ended.
RUN_TIMEOUT = 6 * 3600.0
END_TIMEOUT = 120.0


@dataclass
class Result:
    """How a run ended on a host. `outcome`: ok, differs (plan), failed, stopped, or reboot (Windows has to restart before it
    goes on); `steps` maps a step to its last word, over all restarts. `code` is the exit code of a failure.
    """

    host: str
    outcome: str = "failed"
    changed: int = 0
    reboot: bool = False
    fingerprint: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    error: str = ""
    csr: str = ""
    code: int = HostError.exit_code

    def fail(self, error: BaseException) -> None:
        """Nothing of it counts any more but what was changed. What is not an error for a person is a defect of nbserver."""
        if not isinstance(error, NbserverError):
            what = f"a defect of nbserver: {type(error).__name__}: {error}"
            error = NbserverError(what, where=self.host, todo="Please report it, with the log of this host in the run's folder")
        self.outcome, self.error, self.code, self.fingerprint = "failed", clean(str(error), LONGEST_ERROR), error.exit_code, ""

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
    """Runs one script on one host. Errors end up in the result, whatever they are: the other hosts go on.

    What the host says is not believed: an event counts where it is valid, follows the one before, comes after the hash of the
    script that was sent, and before the end.
    """

    def __init__(self, host: AnyHost, script: Script, mode: Mode, run: str, journal: HostJournal, listener: Listener) -> None:
        self.host, self.script, self.mode, self.run = host, script, mode, run
        self._journal, self._listener = journal, listener
        self._boot = self._words = ""
        self._password: PasswordHash | None = None
        self._changed = 0
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
        self._leg(connect, envelope, stop)
        for leg in range(2, allowed + 2):
            if self.result.outcome == "reboot" and self._restarting:
                again = replace(envelope, run=f"{self.run}-{leg}", boot_before=self._boot, restarts=allowed - leg + 1)
                self._come_back(connect, again, stop)
        if self.result.outcome == "reboot":
            self.result.error = self._restart_first()

    def _come_back(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> None:
        """Waits until Windows has restarted, and goes on: the same script, in a run of its own on the host."""
        self._journal.note(f"waiting for {self.host.name} to restart")
        self._changed = self.result.changed
        until = time.monotonic() + RESTART_TIMEOUT
        while not stop.wait(RESTART_PAUSE):
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
        return isinstance(self.host, WindowsHost) and self.host.reboot == "if-needed"

    def _restart_first(self) -> str:
        if self._may_restart() and self._words:
            return f"{self.host.name}: {clean(self._words)}."
        todo = "Restart it, then run this again"
        if isinstance(self.host, WindowsHost) and not self._may_restart():
            todo += ', or let it be restarted: reboot = "if-needed" in the inventory'
        return f"{self.host.name}: Windows has to restart before this can go on. {todo}."

    def _leg(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> HostError | None:
        """One run of the script; the error that ended it here. Only HostError and StopRequested are answered; anything
        else is a defect.
        """
        self._envelope, self._until = envelope, time.monotonic() + RUN_TIMEOUT
        self._sequence = EventOrder()
        self._hashed = self._failed = self._gap = self._ended = self._restarting = False
        answer: HostError | None = None
        try:
            self._transport = transport = self._timed(connect)
            try:
                self._hear(self._run(transport, envelope))
                # The last event has none after it that would show its loss.
                if self._gap or (self.mode != "test" and not self._ended and self._sequence.last):
                    self._hear_again(transport)
            finally:
                self._close(transport)
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
            if self._ended and isinstance(error, StreamError):
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
        transport.deadline = self._until
        return transport

    def _close(self, transport: Transport) -> None:
        """Has its own time, after a run that had too much too: what still runs in a shell on the host ends with the shell."""
        transport.deadline = time.monotonic() + END_TIMEOUT
        transport.close()

    def _run(self, transport: Transport, envelope: Envelope) -> Iterator[str]:
        """A stopped script closes its brackets in silence: what it did then is fetched from its own record of events."""
        self.result.outcome = "running"
        try:
            yield from transport.run(self.script.text, self._complete(envelope).lines())
        except StopRequested:
            if self.mode == "test" or self._sequence.last == 0:
                raise
            yield from self._missed(transport)

    def _missed(self, transport: Transport) -> Iterator[str]:
        """What the host has kept of this run's events after the last one that came."""
        return transport.run(self.script.text, Envelope("events", self._envelope.run, after=self._sequence.last).lines())

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
            self._journal.note(f"{lost} Asking for the events after {self._sequence.last} in {pause:.0f} s.")
            if stop.wait(pause):
                break
            self._gap = False
            try:
                self._transport = transport = self._timed(connect)
                try:
                    self._hear(self._missed(transport))
                finally:
                    self._close(transport)
            except StopRequested:
                break
            except (CertificateError, HostKeyError, StreamError) as error:  # it is another host, or says what no script says
                if not self._ended:
                    return self._fail(error)
                self._journal.note(str(error))
            except HostError as error:
                self._journal.note(str(error))
            if self.result.outcome != "running":
                return
        self._fail(lost)

    def _hear_again(self, transport: Transport) -> None:
        """Events were lost on the way and the script has ended: its host still has them."""
        self._journal.note(f"events after {self._sequence.last} were lost on the way; asking for them")
        self._gap = False
        self._hear(self._missed(transport))
        if self._gap:
            raise ScriptError("the host's record of its events has a gap", host=self.host.name, todo="Run this again")

    def _hear(self, lines: Iterator[str]) -> None:
        """Takes the events as they come. From a gap on they are only let go by: they come again, with those before them.

        So is everything behind the end, which the host has only some time for.
        """
        for line in lines:
            if self._ended:
                continue
            try:
                event = parse(line)
            except EventError as error:
                raise self._broken(error) from None
            if event.event == "finished" and event.data["outcome"] == "waiting":
                if event.n != 1 or self._sequence.last or not self._envelope.boot_before:
                    raise self._broken("it waits, and nothing here asked it to")
                self.result.outcome = "waiting"
                self._end()
                continue
            try:
                new = not self._gap and self._sequence.accept(event)
            except EventError as error:
                if self.mode == "test":
                    raise self._broken(error) from None
                self._gap, new = True, False
            if new:
                self._take(event)
                self._journal.event(event)  # what was refused is no evidence of what happened; the log says why it was
                self._listener(self.host.name, event)

    def _broken(self, why: EventError | str) -> StreamError:
        return StreamError(f"the script's stream is broken: {why}", host=self.host.name, todo="Run this again")

    def _take(self, event: Event) -> None:
        """The one place where an event of the host gets into the result."""
        if event.event == "started" and not event.step:
            self._begin(event)
        if not self._hashed:
            return self._take_unhashed(event)
        result, data = self.result, event.data
        if event.event == "unchanged" and result.steps.get(event.step) == "changed":
            return  # before a restart
        if event.event == "difference":
            result.steps[event.step] = "differs"
        elif event.event in ("changed", "unchanged", "failed", "restored") and event.step:
            result.steps[event.step] = event.event
        if event.event == "failed":
            self._fails(event)
        if event.event == "warning" and not event.step:
            self._words = data["text"]  # the last one says why Windows is not restarted
        if event.event == "request" and self.mode == "request":
            result.csr = data["csr"]
        if event.event == "finished":
            self._finish(data)

    def _begin(self, event: Event) -> None:
        data = event.data
        if event.n != 1:
            raise self._broken("it begins a second time")
        if data["script_sha256"] != self.script.sha256:
            raise self._another_script(data["script_sha256"])
        if (data["run"], data["mode"], data["host"]) != (self._envelope.run, self.mode, self.script.host):
            raise self._broken("it tells of another run, mode or host")
        self._hashed, self._boot = True, data.get("boot", "")

    def _take_unhashed(self, event: Event) -> None:
        """A script that could not begin, or not hash itself where PowerShell's language is restricted, says why: nothing else counts."""
        if event.event == "failed":
            self._fails(event)
        elif event.event == "finished" and event.data["outcome"] == ("failed" if self._failed else "stopped"):
            self.result.outcome = event.data["outcome"]
            self._end()
        elif not (self._failed and event.event in ("log", "warning", "restored")):
            raise self._another_script("unknown")

    def _another_script(self, sha256: str) -> StreamError:
        return StreamError(
            f"the host ran a script with SHA-256 {sha256}, sent was {self.script.sha256}",
            host=self.host.name,
            todo="Something between here and there changes scripts; find it before you go on",
        )

    def _fails(self, event: Event) -> None:
        self._failed = True
        self.result.error = f"{self.host.name}, {event.step or 'script'}: {clean(event.data['text'])}"

    def _finish(self, data: Mapping[str, Any]) -> None:
        outcome = data["outcome"]
        if outcome == "ok" and self._failed:
            raise self._broken("it failed, and then ended as if it had not")
        if data.get("restarting") and not self._envelope.restarts:
            raise self._broken("it restarts Windows, and nothing here asked it to")
        self._end()
        result = self.result
        result.outcome = "differs" if outcome == "ok" and self.mode == "test" and data["differs"] else outcome
        result.changed = self._changed + data["changed"]
        result.reboot = data["reboot"]
        self._restarting = data.get("restarting", False)
        result.fingerprint = data["fingerprint"]

    def _end(self) -> None:
        self._ended = True
        self._transport.deadline = min(self._until, time.monotonic() + END_TIMEOUT)

    def _fail(self, error: HostError) -> None:
        self.result.fail(error)
        self._journal.note(str(error))
