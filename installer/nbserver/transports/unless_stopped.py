"""Connect to a host in a way that a stop request does not have to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from nbserver.transports.transport import StopRequested

if TYPE_CHECKING:
    from nbserver.transports.transport import Transport

POLL = 0.1  # seconds until a stop request is noticed


def unless_stopped(connect: Callable[[], Transport], stop: threading.Event) -> Transport:
    """Return what `connect` returns, or raise what it raises. Raises StopRequested as soon as `stop` is set.

    For a library that waits for a silent host without looking at anything else. Nothing runs on the host yet, so its thread is left
    behind; a connection that it opens later is closed.
    """
    if stop.is_set():
        raise StopRequested
    connecting: Future[Transport] = Future()
    threading.Thread(target=_connect, args=(connect, connecting), name="connecting", daemon=True).start()
    while not _done(connecting):
        if stop.is_set():
            connecting.add_done_callback(_discard)
            raise StopRequested
    return connecting.result()


def _done(connecting: Future[Transport]) -> bool:
    try:
        connecting.exception(POLL)
    except TimeoutError:
        return connecting.done()
    return True


def _connect(connect: Callable[[], Transport], connecting: Future[Transport]) -> None:
    try:
        found = connect()
    except BaseException as error:  # a panic in a library is not an Exception
        connecting.set_exception(error)
    else:
        connecting.set_result(found)


def _discard(connecting: Future[Transport]) -> None:
    with suppress(BaseException):  # it is in a thread that nobody waits for
        connecting.result().close()
