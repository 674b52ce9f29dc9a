"""PSRP with pypsrp: one connection, one runspace pool, and one pipeline per script, which is sent byte for byte."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import ConnectError, HostError, StreamError
from nbserver.base.message import message
from nbserver.transports import not_run
from nbserver.transports.answer_limits import ERRORS_KEPT, IDLE_PAUSE, StreamAllowance, in_time
from nbserver.transports.payload import NOTHING, Payload, pieces
from nbserver.transports.psrp import private_names
from nbserver.transports.transport import StopRequested
from nbserver.transports.wsman.answers import limit_answers
from nbserver.transports.wsman.errors import explain
from nbserver.transports.wsman.tls import trust
from nbserver.transports.wsman.wrong_tls import explain_opening

if TYPE_CHECKING:
    import requests
    from pypsrp.powershell import PowerShell

    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.transports.ssh.forward import Forward

# All in seconds. The operation timeout is long because opening a runspace pool fails after it; polls are short so that a stop
# request is noticed soon.
OPERATION_TIMEOUT = 60
READ_TIMEOUT = 75
CONNECTION_TIMEOUT = 30
POLL = 2
OPENING_TIMEOUT = 600
RECONNECT_PAUSES = (0.5, 2.0, 5.0)
ERRORS = 10  # error records that are kept
LARGEST_UNFINISHED = 8_000_000  # bytes of incomplete messages
BLOCK = 286_000  # bytes of data in an object: twice in Base64, they fit into one message of 500 KB, the default limit of a host


class PsrpTransport:
    """A connection to a Windows host.

    `stop` is checked between polls, because HTTP with NTLM allows one request at a time. It stops one pipeline. A later
    pipeline, which fetches the stopped script's last events, still runs. `way` leads through the host's jump hosts.
    """

    def __init__(self, host: WindowsHost, password: str | None, stop: threading.Event, way: Forward | None = None) -> None:
        from pypsrp.powershell import RunspacePool
        from pypsrp.wsman import WSMan

        self._host = host
        self._stop = stop
        self._way = way
        self._stopped = False
        self._lost = self._no_more = self._sending = False
        self.deadline = time.monotonic() + OPENING_TIMEOUT
        try:
            self._wsman = WSMan(
                host.address,
                port=host.port,
                ssl=host.tls,
                auth=host.auth,
                username=host.user,
                password=password,
                encryption="auto" if host.tls else "always",
                proxy=host.proxy,
                no_proxy=host.proxy is None,
                operation_timeout=OPERATION_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                connection_timeout=min(CONNECTION_TIMEOUT, host.connect_timeout),
            )
            private_names.prepare_sessions(self._wsman, self._prepare)
            self._pool = RunspacePool(self._wsman, configuration_name=host.configuration_name)
            self._pool.open()
            private_names.watch_answers(self._pool, self._seen)
            self.deadline = math.inf
        except Exception as error:
            raise explain_opening(error, host, way) from error

    def _prepare(self, session: requests.Session) -> None:
        trust(session, self._host, self._way.dial if self._way else None)
        limit_answers(session, self._host.name, lambda: self.deadline, self._host.connect_timeout)

    def _seen(self, last: bool) -> None:
        self._no_more = last

    def run(self, script: str, envelope: Sequence[str], data: Payload = NOTHING) -> Iterator[str]:
        """See Transport.run."""
        from pypsrp.complex_objects import PSInvocationState
        from pypsrp.powershell import PowerShell

        pipeline = PowerShell(self._pool)
        pipeline.add_script(script)
        allowance = StreamAllowance(self._host.name)
        self._no_more = False
        try:
            self._sending = data.size > 0
            pipeline.begin_invoke(input=self._input(envelope, data))
            self._sending = False
            while pipeline.state == PSInvocationState.RUNNING:
                if self._stop.is_set() and not self._stopped:
                    self._stopped = True
                    pipeline.stop()
                    break
                in_time(self._host.name, self.deadline)
                self._poll(pipeline)
                if not pipeline.output and pipeline.state == PSInvocationState.RUNNING:
                    time.sleep(IDLE_PAUSE)
                yield from _taken(pipeline, allowance)
                if self._no_more and pipeline.state == PSInvocationState.RUNNING:
                    raise ConnectError(
                        "response-end-lost", "the end of the host's response was lost", host=self._host.name, todo="Run the command again"
                    )
        except (GeneratorExit, StopRequested):
            raise
        except Exception as error:
            told = explain(error, self._host) if self._way is None else self._way.explained(explain(error, self._host))
            self._lost = isinstance(told, ConnectError) and not self._sending
            raise self._not_begun(told) if self._sending else told from error
        yield from _taken(pipeline, allowance)
        if pipeline.state == PSInvocationState.STOPPED:
            raise StopRequested
        if pipeline.state == PSInvocationState.FAILED:
            words = "; ".join(_text(record)[:ERRORS_KEPT] for record in pipeline.streams.error)
            reason = words or message("no-error-output", "no error output")
            raise not_run.powershell_failed(self._host.name, reason)

    def _input(self, envelope: Sequence[str], data: Payload) -> Iterator[list[str] | bytes]:
        """Yield the envelope as one list, and then the data. For separate lines, pypsrp would send one message each."""
        yield list(envelope)
        for block in pieces(data.blocks(), BLOCK):
            in_time(self._host.name, self.deadline)
            if self._stop.is_set() and not self._stopped:
                self._stopped = True
                raise StopRequested
            yield block

    def _not_begun(self, error: HostError) -> HostError:
        """Return what a connection that was lost in the middle of the data means. The next request, which closes the shell, logs on again."""
        if not isinstance(error, ConnectError):
            return error
        private_names.forget_connection(self._wsman)
        return ConnectError(
            "connection-lost-sending",
            "the connection was lost before the script started ({reason})",
            host=self._host.name,
            todo="Run the command again",
            reason=error.what,
        )

    def _poll(self, pipeline: PowerShell) -> None:
        """Wait for output. The shell on the host survives a lost connection, and a new connection continues with it.

        A lost response is not sent again; the event numbers show the gap.
        """
        from requests.exceptions import ChunkedEncodingError, ConnectionError

        for pause in (*RECONNECT_PAUSES, None):
            try:
                pipeline.poll_invoke(timeout=POLL)
                return self._look_at_unfinished()
            except (ConnectionError, ChunkedEncodingError):  # ChunkedEncodingError: lost in the middle of a response
                if pause is None or (self._way and self._way.is_lost) or self._stop.wait(pause):
                    raise
                private_names.forget_connection(self._wsman)

    def _look_at_unfinished(self) -> None:
        if private_names.unfinished_bytes(self._pool) > LARGEST_UNFINISHED:
            raise StreamError(
                "message-without-end",
                "the server sent an incomplete message",
                host=self._host.name,
                todo="Check address and port in the inventory: a different server may be listening on this port",
            )

    def close(self) -> None:
        """See Transport.close. After a lost connection, the shell stays open: closing it would stop the script."""
        for close in (self._wsman.close,) if self._lost else (self._pool.close, self._wsman.close):
            try:
                close()
            except Exception:  # the connection may already be closed, and nothing depends on it anymore
                continue
        if self._way:
            self._way.close()


def _taken(pipeline: PowerShell, allowance: StreamAllowance) -> Iterator[str]:
    """Return the lines of output since the last call. Everything that pypsrp would keep is discarded, except for a few errors."""
    records = pipeline.output[:]
    pipeline.output.clear()
    streams = pipeline.streams
    for kept in (streams.debug, streams.information, streams.progress, streams.verbose, streams.warning):
        kept.clear()
    del streams.error[ERRORS:]
    for record in records:
        text = _text(record)
        allowance.bytes(len(text))
        for line in text.splitlines():
            allowance.length(len(line))
            allowance.line()
            yield line


def _text(record: Any) -> str:
    """Return the text of a record. A record that is not a string has a text form, unless the host left it out."""
    try:
        return str(record)
    except Exception:
        return f"{type(record).__name__} without a text"
