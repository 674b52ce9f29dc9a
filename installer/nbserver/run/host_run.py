"""One host's run: connect, run the script, record its events, and return the result."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbserver.base.errors import AuthenticationError, CertificateError, ConnectError, HostError, HostKeyError, ScriptError, StreamError
from nbserver.base.message import Described, Message, notice
from nbserver.base.modes import READING, Mode
from nbserver.base.plain_text import clean
from nbserver.events.reader import Event
from nbserver.notebooks.part import Part
from nbserver.render.script import Script
from nbserver.run.envelope import Envelope, PasswordHash
from nbserver.run.leg import Leg
from nbserver.run.record import Record
from nbserver.run.result import Result
from nbserver.run.server_log import LogReading
from nbserver.transports.transport import StopRequested, Transport

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost

Connect = Callable[[], Transport]
Listener = Callable[[str, Event], None]

# Seconds before each attempt to rejoin the run after a lost connection.
REJOIN_PAUSES = (2.0, 5.0, 15.0)


# Seconds before each further attempt to connect after an error that can pass, and the codes of these errors. Nothing has run yet.
CONNECT_PAUSES = (1.0, 3.0, 10.0)
PASSING = frozenset(
    {"connection-lost", "connection-lost-sending", "jump-lost", "response-part-lost", "winrm-unavailable", "winrm-shell-gone"}
)

# The code of an error after which no run began: there is none to rejoin.
NOT_BEGUN = "connection-lost-sending"

# Errors before a script was sent that mean that nothing ran on the host.
NO_LOGON = (ConnectError, AuthenticationError, CertificateError, HostKeyError)

# A host that restarts: how often in one run, the seconds between attempts to reconnect, and the seconds after which nbserver gives up.
RESTARTS = 3
RESTART_PAUSE = 15.0
RESTART_TIMEOUT = 1800.0

# Seconds for one run of the script, and for what it does after its last event.
RUN_TIMEOUT = 6 * 3600.0
END_TIMEOUT = 120.0


def _passes(error: ConnectError) -> bool:
    """Return whether an error can pass, also one on the way to a jump host, which closes connections when many hosts log on."""
    reason = error.values.get("reason") if error.code == "jump-not-reached" else None
    return error.code in PASSING or (isinstance(reason, Described) and reason.code in (*PASSING, "ssh-closed-early"))


def restart_first(host: AnyHost, words: str) -> Message:
    """Return why a run has not ended: Windows must restart. `words` is the last warning."""
    if host.reboot == "if-needed" and words:
        return notice("restart-not-done", "{name}: the run is not finished: {reason}", name=host.name, reason=clean(words))
    if "reboot" in type(host).model_fields and host.reboot != "if-needed":
        return notice(
            "restart-not-allowed",
            '{name}: Windows must restart before the run can continue. Restart the host, or set reboot = "if-needed" in the inventory. Then run the command again',
            name=host.name,
        )
    return notice(
        "restart-needed",
        "{name}: Windows must restart before the run can continue. Restart the host, then run the command again",
        name=host.name,
    )


def _deadline() -> float:
    return time.monotonic() + RUN_TIMEOUT


class HostRun:
    """Runs one script on one host. All errors go into the result, so that the other hosts continue."""

    def __init__(
        self,
        host: AnyHost,
        script: Script,
        mode: Mode,
        run: str,
        journal: Record,
        listener: Listener,
        thorough: bool = False,
        repair: bool = False,
        result: Result | None = None,
        parts: tuple[Part, ...] = (),
        log: LogReading | None = None,
        archived: str = "",
    ) -> None:
        """`result` has the steps and changes of earlier legs, for a run that is continued. `parts` are those of copied files.

        `log` takes what mode logs sends, and `archived` is the hash of the notebooks that an undo removes.
        """
        self.host, self.script, self.mode, self.run = host, script, mode, run
        self._thorough, self._repair, self._parts, self._log = thorough, repair, parts, log
        self._archived = archived
        self._retries: int | None = getattr(host, "connect_retries", None)  # the workstation itself has no such setting
        self._journal, self._listener = journal, listener
        self._password: PasswordHash | None = None
        self.result = result or Result(host.name)
        self._restarted = 0

    def after_restart(self, leg: Leg, number: int) -> None:
        """Make `execute` begin with leg `number`: Windows restarts after `leg`, which was in another process."""
        self._leg, self._restarted = leg, number

    def execute(
        self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event, password: PasswordHash | None = None
    ) -> Result:
        """Execute the run, including the restarts that the inventory allows. Never raises."""
        self._password = password
        try:
            self._execute(connect, operator, secrets, stop)
        except BaseException as error:  # a panic in a library is not an Exception; threads receive no Ctrl-C
            self.result.fail(error)
            for line in traceback.format_exception(error):
                self._journal.note(line)
        return self.result

    def fail(self, error: HostError) -> None:
        """Set the result of a run that was stopped on account of this error."""
        self.result.fail(error)
        if not self._leg.sent and not self._leg.envelope.boot_before:
            self.result.outcome = "unreachable"
        self._journal.note(self.result.error)

    def _execute(self, connect: Connect, operator: str, secrets: Mapping[str, str], stop: threading.Event) -> None:
        allowed = RESTARTS if self._may_restart() and self.mode in ("apply", "request") else 0
        envelope = Envelope(self.mode, self.run, operator, secrets=secrets, restarts=allowed, thorough=self._thorough, repair=self._repair)
        envelope = replace(envelope, archived=self._archived, parts=self._parts, log=self._log.request() if self._log else None)
        if not self._restarted:
            leg = Leg(self.host.name, self.script, envelope, self.result, _deadline(), self.result.changed or 0)
            self._run_leg(connect, leg, stop)
        for number in range(self._restarted or 2, allowed + 2):
            if self.result.outcome == "reboot" and self._leg.restarting:
                repair = self._repair and self.result.steps.get("packages") != "changed"
                again = replace(
                    envelope, run=f"{self.run}-{number}", boot_before=self._leg.boot, restarts=allowed - number + 1, repair=repair
                )
                self._come_back(connect, again, stop)
        if self.result.outcome == "reboot":
            self.result.because(restart_first(self.host, self._leg.words))
        if self._log and self._log.follows:
            self._follow_log(self._log, connect, envelope, stop)

    def _follow_log(self, log: LogReading, connect: Connect, envelope: Envelope, stop: threading.Event) -> None:
        """Ask the host again and again: no run of the script lasts longer than a minute, even if the connection is lost."""
        number = 1
        while self.result.outcome == "ok" and not stop.is_set():
            number += 1
            again = replace(envelope, run=f"{self.run}-{number}", log=log.request())
            self._run_leg(connect, Leg(self.host.name, self.script, again, self.result, _deadline()), stop)

    def _come_back(self, connect: Connect, envelope: Envelope, stop: threading.Event) -> None:
        """Wait until Windows has restarted, and continue with the same script, which is a new run on the host."""
        self._journal.note(f"waiting for {self.host.name} to restart")
        before = self.result.changed or 0
        until = time.monotonic() + RESTART_TIMEOUT
        while not stop.wait(RESTART_PAUSE):
            self.result.because(None)
            former = self._leg
            leg = Leg(self.host.name, self.script, envelope, self.result, _deadline(), before, former.boot, former.words)
            error = self._run_leg(connect, leg, stop)
            down = isinstance(error, (ConnectError, AuthenticationError)) and not leg.last
            if self.result.outcome != "waiting" and not down:
                return
            if time.monotonic() > until:
                lost = ConnectError(
                    "host-did-not-restart",
                    "the host did not come back online within {minutes} minutes of restarting",
                    todo="Check the host at its console, then run the command again",
                    host=self.host.name,
                    minutes=f"{RESTART_TIMEOUT / 60:.0f}",
                )
                return self._fail(error or lost)
        self.result.outcome = "stopped"

    def _may_restart(self) -> bool:
        return self.host.reboot == "if-needed"

    def _run_leg(self, connect: Connect, leg: Leg, stop: threading.Event) -> HostError | None:
        """Run the script once, and return the error that ended it. Handles HostError and StopRequested; anything else is a bug."""
        self._leg = leg
        answer: HostError | None = None
        try:
            self._transport = transport = self._connected(connect, stop)
            try:
                self._hear(self._run(transport))
                # No later event would show the loss of the last one.
                if leg.gap or (self.mode not in READING and not leg.ended and leg.last):
                    self._hear_again(transport)
            finally:
                self._close(transport)
        except ConnectError as error:
            answer = error
            if leg.ended:
                self._journal.note(str(error))
            elif self.result.outcome == "running" and self.mode not in READING and error.code != NOT_BEGUN:
                self._rejoin(connect, stop, error)
            elif leg.sent and not leg.last and not leg.repeated and _passes(error):  # this run changes nothing, or has not begun
                self._journal.note(f"{str(error).rstrip('.')}. Sending the script again")
                leg.repeated = True
                return self._run_leg(connect, leg, stop)
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
            self._fail(
                ScriptError(
                    "script-without-result",
                    "the script exited without reporting a result",
                    host=self.host.name,
                    todo="Run the command again. If it fails again, check the host's log in the run directory",
                )
            )
        return answer

    def _connected(self, connect: Connect, stop: threading.Event) -> Transport:
        """Connect, several times if the error can pass: nothing has run on the host yet. A host that restarts has other pauses."""
        for pause in () if self._leg.envelope.boot_before else self._connect_pauses():
            try:
                return self._timed(connect)
            except ConnectError as error:
                if self._retries is None and not _passes(error):
                    raise
                self._journal.note(f"{str(error).rstrip('.')}. Connecting again in {pause:.0f} s.")
            if stop.wait(pause):
                raise StopRequested
        return self._timed(connect)

    def _connect_pauses(self) -> tuple[float, ...]:
        if self._retries is None:
            return CONNECT_PAUSES
        return (*CONNECT_PAUSES, *[CONNECT_PAUSES[-1]] * self._retries)[: self._retries]

    def _timed(self, connect: Connect) -> Transport:
        transport = connect()
        transport.deadline = self._leg.until
        return transport

    def _close(self, transport: Transport) -> None:
        """Close the connection within its own time limit, even after a timeout: closing the shell on the host ends what runs in it."""
        transport.deadline = time.monotonic() + END_TIMEOUT
        transport.close()

    def _run(self, transport: Transport) -> Iterator[str]:
        """Run the script. A stopped script undoes its temporary changes without output; its event file has these events."""
        self.result.outcome = "running"
        envelope = self._complete(self._leg.envelope)
        head = self._journal.sent(envelope.without_secrets())
        self._leg.sent = True
        try:
            yield from transport.run(self.script.text, replace(envelope, evidence=head.sha256).lines())
        except StopRequested:
            if self.mode in READING or self._leg.last == 0:
                raise
            yield from self._missed(transport)

    def _missed(self, transport: Transport) -> Iterator[str]:
        """Request this run's events after the last received one from the host's event file."""
        return transport.run(self.script.text, Envelope("events", self._leg.envelope.run, after=self._leg.last).lines())

    def _complete(self, envelope: Envelope) -> Envelope:
        """Add what is computed only for a host that has answered: the time, and the hash of the password."""
        envelope = replace(envelope, time=datetime.now(UTC))
        if self._password is None:
            return envelope
        secrets = {**envelope.secrets, "notebook.password_hash": self._password.compute()}
        return replace(envelope, secrets=secrets, former_salt=self._password.former_salt, new_salt=self._password.new_salt)

    def _rejoin(self, connect: Connect, stop: threading.Event, lost: HostError) -> None:
        """Ask the host for the events after the last received one, because the script may still be running.

        A host that does not know the run may be about to start it, so nbserver asks several times.
        """
        for pause in REJOIN_PAUSES:
            self._journal.note(f"{str(lost).rstrip('.')}. Requesting the events after event {self._leg.last} in {pause:.0f} s.")
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
            except (CertificateError, HostKeyError, StreamError) as error:  # a different host, or output that no script produces
                if not self._leg.ended:
                    return self._fail(error)
                self._journal.note(str(error))
            except HostError as error:
                self._journal.note(str(error))
            if self.result.outcome != "running":
                return
        self._fail(lost)

    def _hear_again(self, transport: Transport) -> None:
        """Request lost events from the host, which still has them after the script has ended."""
        self._journal.note(f"events after event {self._leg.last} were lost; requesting them from the host")
        self._leg.gap = False
        self._hear(self._missed(transport))
        if self._leg.gap:
            raise ScriptError(
                "events-missing-on-host",
                "some events of this run were lost, and the host's event file does not contain them either",
                host=self.host.name,
                todo="Run the command again. If it fails again, check the host's log in the run directory",
            )

    def _hear(self, lines: Iterator[str]) -> None:
        """Process the events as they arrive. Output after the last event has its own time limit."""
        leg = self._leg
        for line in lines:
            if leg.ended:
                continue
            event = leg.hear(line)
            if leg.ended:
                self._transport.deadline = min(leg.until, time.monotonic() + END_TIMEOUT)
            if event:
                self._journal.event(event)  # a rejected event is no evidence; the log has the reason
                self._listener(self.host.name, event)

    def _fail(self, error: HostError) -> None:
        leg, lost = self._leg, isinstance(error, ConnectError)
        may_run = self.mode not in READING and leg.sent and not leg.ended
        if may_run and (lost or leg.hashed):
            self.result.changed = None
        shown = self._may_run(error) if may_run and lost else error
        self.result.fail(shown)
        self.result.because(self._left_open(shown) or shown)
        if isinstance(error, NO_LOGON) and not leg.sent and not leg.envelope.boot_before:
            self.result.outcome = "unreachable"
        self._journal.note(self.result.error)

    def _may_run(self, lost: HostError) -> ConnectError:
        return ConnectError(
            "connection-lost-in-run",
            "the connection was lost during the run, and the script may still be running on the host ({reason})",
            host=self.host.name,
            todo="To fetch the rest of its events, run nbserver events {run} {name}",
            reason=lost.what,
            run=self._leg.envelope.run,
            name=self.host.name,
        )

    def _left_open(self, error: HostError) -> Message | None:
        """Return the message about a temporary change that nobody has reported as restored, or None."""
        if self.mode != "apply" or self._leg.ended:
            return None
        for step in self.script.brackets:
            if self.result.steps.get(step) in ("differs", "changed"):
                return notice(
                    "bracket-may-be-open",
                    "{reason}. The temporary change made by the step {step} may still be in effect; the next apply, undo, or restart of Windows reverts it",
                    reason=error,
                    step=step,
                )
        return None
