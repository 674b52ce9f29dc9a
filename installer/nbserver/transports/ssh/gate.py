"""Limit how many hosts log on to the same jump host at the same time.

By default, sshd drops some of the connections from the tenth on that has not logged on yet (MaxStartups).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbserver.base.errors import HostError
from nbserver.transports.transport import StopRequested

if TYPE_CHECKING:
    from nbserver.inventory.ssh_server import SshServer

LOGONS = 4  # at the same time; the server notices the end of a logon later than we do
POLL = 0.1  # seconds until a stop request is noticed
# The codes of errors that say nothing about the next logon: sshd drops connections at random if it has many.
OF_ONE_LOGON = frozenset({"connection-lost", "ssh-closed-early"})


@dataclass
class _Gate:
    places: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(LOGONS))
    failed: tuple[float, HostError] | None = None


_gates: defaultdict[tuple[str, str, int], _Gate] = defaultdict(_Gate)
_finding = threading.Lock()


@contextmanager
def turn_at(server: SshServer, stop: threading.Event) -> Iterator[None]:
    """Wait for a turn to log on to a jump host, which ends with the context.

    If another logon failed meanwhile, raise the same error: a silent jump host costs all who wait for it one timeout, and a wrong
    password is not sent for each of them. A dropped connection is no such error. Raises HostError and StopRequested.
    """
    began = time.monotonic()
    with _finding:
        gate = _gates[server.user, server.address, server.port]
    while not gate.places.acquire(timeout=POLL):
        if stop.is_set():
            raise StopRequested
    try:
        if gate.failed is not None and gate.failed[0] > began:
            raise type(gate.failed[1]).of(gate.failed[1], host=server.name)
        yield
    except HostError as error:
        if error.code not in OF_ONE_LOGON and (gate.failed is None or gate.failed[0] <= began):
            gate.failed = time.monotonic(), error
        raise
    finally:
        gate.places.release()
