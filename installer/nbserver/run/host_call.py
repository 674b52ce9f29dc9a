"""One host's run as a value: a call that any thread, process, or engine can execute. It needs no file of the workstation's run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nbserver.base.message import notice
from nbserver.base.modes import Mode
from nbserver.events.reader import Event
from nbserver.run import connection_findings
from nbserver.run.chain import BEGINNING
from nbserver.run.delivery import Delivery
from nbserver.run.envelope import PasswordHash
from nbserver.run.host_job import HostJob
from nbserver.run.host_run import HostRun
from nbserver.run.host_stop import HostStop
from nbserver.run.past_host import PastHost
from nbserver.run.record import Collected, Record
from nbserver.run.result import Result
from nbserver.run.resumed_run import ResumedRun
from nbserver.run.secret_mask import SecretMask
from nbserver.run.server_log import LogReading
from nbserver.run.transfer import Collecting, HostFile, Transfer
from nbserver.transports import connect
from nbserver.transports.transport import Transport

Listener = Callable[[str, Event], None]


@dataclass(frozen=True)
class HostCall:
    """What the run of one host depends on: host, script, mode, and secrets. The repr shows no secret.

    `mask` removes the secrets of all hosts of the run from what this host sends. `evidence` is the head of the chain of the run
    directory, and `past` what the host did before, if the run is resumed. `transfer` is what is copied, and `archived` the hash
    of the notebooks that are removed. A call can be pickled once its password hash is computed: see `portable`.
    """

    job: HostJob
    mode: Mode
    run: str
    operator: str
    mask: SecretMask = field(repr=False)
    password: PasswordHash | None = None
    thorough: bool = False
    repair: bool = False
    evidence: str = BEGINNING
    past: PastHost | None = None
    transfer: Transfer | Collecting | LogReading | Delivery | None = None
    archived: str = ""

    def execute(self, record: Record, stop: threading.Event, shown: Listener) -> Result:
        """Run the script on the host, and return the result. `record` and `shown` receive the events as they arrive.

        Raises JournalError if the end cannot be recorded; all other failures are in the result.
        """
        job, name = self.job, self.job.host.name
        leaks: list[str] = []
        copied: list[HostFile] = []
        own_stop = HostStop(name, stop, job.host.timeout, job.host.step_timeout)

        def connected() -> Transport:
            transport = connect.connect_to(job.host, job.logon, own_stop)
            if self.transfer:
                transport = self.transfer.watch(transport, name, copied)
            transport = self.mask.watch(transport, lambda: leaks.append(name))
            return own_stop.watch(transport)

        def heard(name: str, event: Event) -> None:
            own_stop.heard(event)
            with suppress(Exception):  # the output may be closed; the record has the event, and the run continues
                shown(name, event)

        parts = self.transfer.parts if self.transfer else ()
        log = self.transfer if isinstance(self.transfer, LogReading) else None
        run: HostRun | ResumedRun = HostRun(
            job.host,
            job.script,
            self.mode,
            self.run,
            record,
            heard,
            self.thorough,
            self.repair,
            parts=parts,
            log=log,
            archived=self.archived,
        )
        if self.past:
            run = ResumedRun(job.host, job.script, self.mode, self.past, record, heard, self.thorough, self.repair)
        result = run.execute(connected, self.operator, job.sent, own_stop, self.password)
        if own_stop.exceeded and result.outcome == "stopped" and not stop.is_set():
            run.fail(own_stop.exceeded)
        if self.mode == "check":
            result.findings = [*connection_findings.findings(job.host, result), *result.findings]
        result.files += copied
        self.mask.result(result)
        if leaks:
            fail_for_leak(result, record)
        return result

    def portable(self) -> HostCall:
        """Return the call for another process, with the hash of the password instead of the password. Raises HostError and StopRequested."""
        hashed = replace(self.password, compute=_Computed(self.password.compute())) if self.password else None
        return replace(self, password=hashed, job=replace(self.job, password=None))


@dataclass(frozen=True)
class Outcome:
    """What a call returns from another process: the result, and what the journal of the host must have."""

    result: Result
    collected: Collected


def execute(call: HostCall) -> Outcome:
    """Execute a portable call, and return its outcome. Touches neither the run directory nor any other file of the workstation."""
    collected = Collected(call.evidence)
    result = call.execute(collected, threading.Event(), lambda name, event: None)
    return Outcome(result, collected)


@dataclass(frozen=True)
class _Computed:
    """A hash that is known. A partial function would show it in its repr."""

    value: str = field(repr=False)

    def __call__(self) -> str:
        return self.value


def fail_for_leak(result: Result, record: Record) -> None:
    """Make a secret in an event of the host its failure."""
    leak = notice(
        "secret-in-event",
        "{name}: an event from this host contains a secret, which nbserver masked. "
        "Change the secret, and find out what on the host prints it",
        name=result.host,
    )
    record.note(str(leak))
    result.outcome, result.fingerprint = "failed", ""
    result.because(
        leak if not result.error else notice("secret-in-event-of-failure", "{leak}. {reason}", leak=leak, reason=result.error.rstrip(" ."))
    )
