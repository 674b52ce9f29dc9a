"""The private names of pypsrp that the transport needs, all in this one place: another release may have others.

pypsrp has no option for a pinned certificate, for limits of an answer, for a connection to be made anew within a runspace pool,
and says neither that an answer was the last one nor how much it keeps of a message. Written for pypsrp 0.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests
    from pypsrp.powershell import RunspacePool
    from pypsrp.wsman import WSMan


def prepare_sessions(wsman: WSMan, prepare: Callable[[requests.Session], None]) -> None:
    """Has `prepare` called with each session of requests before anything is sent over it."""
    build = wsman.transport._build_session

    def build_session() -> Any:
        session = build()
        prepare(session)
        return session

    wsman.transport._build_session = build_session  # type: ignore[method-assign]


def watch_answers(pool: RunspacePool, seen: Callable[[bool], None]) -> None:
    """Calls `seen` with each answer: whether it was the last one of its pipeline.

    pypsrp does not look at that, and the message that says how a pipeline ended may be lost.
    """
    from pypsrp.shell import CommandState

    receive = pool.shell.receive

    def watched(*arguments: Any, **options: Any) -> Any:
        answer = receive(*arguments, **options)
        seen(answer[0] == CommandState.DONE)
        return answer

    pool.shell.receive = watched  # type: ignore[method-assign]


def forget_connection(wsman: WSMan) -> None:
    """Drops the connection. What NTLM agreed on belongs to it, so nothing of that may be kept; the next request logs on anew."""
    wsman.transport.close()
    wsman.transport.session = None
    wsman.transport.encryption = None


def unfinished_bytes(pool: RunspacePool) -> int:
    """How much is kept of messages that have not come to their end: fragments are put together, however many come."""
    return sum(len(message["data"]) for message in pool._fragmenter.incoming_buffer.values())
