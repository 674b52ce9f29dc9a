"""All uses of pypsrp's private names, collected in one module because they can change with any release.

pypsrp has no option to pin a certificate, to limit a response, or to reconnect within a runspace pool. It reports neither
which response is the last one nor how much of an incomplete message it holds. Written for pypsrp 0.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests
    from pypsrp.powershell import RunspacePool
    from pypsrp.wsman import WSMan


def prepare_sessions(wsman: WSMan, prepare: Callable[[requests.Session], None]) -> None:
    """Call `prepare` with each requests session before anything is sent over it."""
    build = wsman.transport._build_session

    def build_session() -> Any:
        session = build()
        prepare(session)
        return session

    wsman.transport._build_session = build_session  # type: ignore[method-assign]


def watch_answers(pool: RunspacePool, seen: Callable[[bool], None]) -> None:
    """Call `seen` for each response, with True if it is the last one of its pipeline.

    pypsrp ignores this state, and the message with the pipeline's result can be lost.
    """
    from pypsrp.shell import CommandState

    receive = pool.shell.receive

    def watched(*arguments: Any, **options: Any) -> Any:
        answer = receive(*arguments, **options)
        seen(answer[0] == CommandState.DONE)
        return answer

    pool.shell.receive = watched  # type: ignore[method-assign]


def forget_connection(wsman: WSMan) -> None:
    """Drop the connection and its NTLM state, which is only valid for this connection. The next request logs on again."""
    wsman.transport.close()
    wsman.transport.session = None
    wsman.transport.encryption = None


def unfinished_bytes(pool: RunspacePool) -> int:
    """Return the size of all incomplete messages. pypsrp joins fragments without a limit."""
    return sum(len(message["data"]) for message in pool._fragmenter.incoming_buffer.values())
