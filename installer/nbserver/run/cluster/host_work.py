"""What a worker does for one host: check the approval again, run the host, and report what happens as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbserver.base.errors import JournalError, NbserverError
from nbserver.events.reader import Event
from nbserver.run.cluster.approval_copy import ApprovalCopy
from nbserver.run.evidence import now
from nbserver.run.result import Result

if TYPE_CHECKING:
    from nbserver.run.chain import Head
    from nbserver.run.cluster.worker_session import WorkerSession
    from nbserver.run.host_call import HostCall


@dataclass(frozen=True)
class HostWork:
    """The run of a host, and by what it is approved."""

    call: HostCall
    approval: ApprovalCopy

    def perform(self, session: WorkerSession) -> Result:
        """Return the result of the run. Every failure of the host is in it."""
        record = _Reported(session)
        try:
            self.approval.require(self.call)
        except NbserverError as error:
            result = self.call.past.result if self.call.past else Result(self.call.job.host.name)
            result.fail(error)
            record.note(result.error)
            return result
        return self.call.execute(record, session.stop, lambda name, event: None)


class _Reported:
    """Has the workstation record what happens. A script is sent only once its envelope is in the journal there."""

    def __init__(self, session: WorkerSession) -> None:
        self._session = session

    def sent(self, envelope: Sequence[str] = ()) -> Head:
        head: Head | JournalError = self._session.ask("ask-sent", tuple(envelope))
        if isinstance(head, JournalError):
            raise head
        return head

    def event(self, event: Event) -> None:
        self._session.say("event", event.line)

    def note(self, text: str, time: str = "") -> None:
        self._session.say("note", (text, time or now()))
