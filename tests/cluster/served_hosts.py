"""Simulated hosts of a test's process, for the workers of a cluster: a worker connects to them over a socket, as to a host.

`python -m distributed.cli.dask_worker --preload tests.cluster.served_hosts` puts them in the place of real ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from nbserver.transports.transport import StopRequested
from tests.simulated_fleet import Fleet

VARIABLE = "NBSERVER_TEST_SERVED_HOSTS"
KEY = b"hosts of a test"


class ServedHosts:
    """Serves the hosts of a fleet, which may be another one for each test, until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.path, self.fleet = folder / "hosts.socket", None
        self._listener = Listener(str(self.path), "AF_UNIX", backlog=100, authkey=KEY)
        threading.Thread(target=self._accept, daemon=True).start()

    fleet: Fleet | None

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (EOFError, ConnectionError):  # a worker that was killed while it connected
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """One connection to a host. It ends with an exception, or with None."""
        assert self.fleet is not None
        try:
            transport = self.fleet.connect_to(_Named(connection.recv()), None, threading.Event())
            connection.send("connected")
            for line in transport.run(*connection.recv()):
                connection.send(line)
            connection.send(None)
        except (OSError, EOFError):
            pass
        except Exception as error:
            connection.send(error)

    def close(self) -> None:
        self._listener.close()


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


class ServedTransport:
    """A worker's connection to a simulated host."""

    def __init__(self, host: Any, logon: Any, stop: threading.Event) -> None:
        self._stop = stop
        self._connection, self.deadline = Client(os.environ[VARIABLE], "AF_UNIX", authkey=KEY), 0.0
        self._connection.send(host.name)
        self._received()

    def _received(self) -> Any:
        while not self._connection.poll(0.05):
            if self._stop.is_set():
                raise StopRequested
        found = self._connection.recv()
        if isinstance(found, BaseException):
            raise found
        return found

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        if self._stop.is_set():  # the host does not read meanwhile
            raise StopRequested
        self._connection.send((script, list(envelope)))
        while (line := self._received()) is not None:
            yield line

    def close(self) -> None:
        self._connection.close()


def dask_setup(worker: Any) -> None:
    """What Dask calls in a worker that it has loaded this into."""
    from nbserver.run import host_run
    from nbserver.transports import connect

    connect.connect_to = ServedTransport  # type: ignore[assignment]
    host_run.REJOIN_PAUSES = host_run.CONNECT_PAUSES = (0.0, 0.0, 0.0)
