"""PSRP through pypsrp: one connection, one runspace pool, one pipeline a script, sent byte for byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from installer.errors import ScriptError
from installer.transports import StopRequested
from installer.transports.psrp_errors import explain
from installer.transports.psrp_tls import trust

if TYPE_CHECKING:
    from installer.host_settings import Host

# A pool that opens slower than the operation timeout fails, so that is generous; polls are short, so that a
# stop is heard soon. Seconds.
OPERATION_TIMEOUT = 60
READ_TIMEOUT = 75
CONNECTION_TIMEOUT = 30
POLL = 2


class PsrpTransport:
    """A connection to a Windows host.

    `stop` is looked at between polls, because HTTP with NTLM allows one request at a time. It stops one pipeline: what
    is run after it, to hear how that one ended, runs.
    """

    def __init__(self, host: Host, password: str | None, stop: threading.Event) -> None:
        from pypsrp.powershell import RunspacePool
        from pypsrp.wsman import WSMan

        self._host = host
        self._stop = stop
        self._stopped = False
        try:
            self._wsman = WSMan(
                host.address,
                port=host.port,
                ssl=host.tls,
                auth=host.auth,
                username=host.user,
                password=password,
                cert_validation=str(host.ca_file) if host.ca_file else True,  # type: ignore[arg-type]  # a path is documented
                encryption="auto" if host.tls else "always",
                proxy=host.proxy,
                no_proxy=host.proxy is None,
                operation_timeout=OPERATION_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                connection_timeout=CONNECTION_TIMEOUT,
            )
            trust(self._wsman, host)
            self._pool = RunspacePool(self._wsman, configuration_name=host.configuration_name)
            self._pool.open()
        except Exception as error:
            raise explain(error, host) from error

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        """See Transport.run."""
        from pypsrp.complex_objects import PSInvocationState
        from pypsrp.powershell import PowerShell

        pipeline = PowerShell(self._pool)
        pipeline.add_script(script)
        sent = 0
        try:
            pipeline.begin_invoke(input=_in_one_message(envelope))
            while pipeline.state == PSInvocationState.RUNNING:
                if self._stop.is_set() and not self._stopped:
                    self._stopped = True
                    pipeline.stop()
                    break
                pipeline.poll_invoke(timeout=POLL)
                yield from _lines(pipeline.output[sent:])
                sent = len(pipeline.output)
        except GeneratorExit:
            raise
        except Exception as error:
            raise explain(error, self._host) from error
        yield from _lines(pipeline.output[sent:])
        if pipeline.state == PSInvocationState.STOPPED:
            raise StopRequested
        if pipeline.state == PSInvocationState.FAILED:
            words = "; ".join(str(record) for record in pipeline.streams.error) or "PowerShell gave no reason"
            raise ScriptError(f"PowerShell could not run the script: {words}", host=self._host.name)

    def close(self) -> None:
        """See Transport.close."""
        for close in (self._pool.close, self._wsman.close):
            try:
                close()
            except Exception:  # the connection may be gone already, and nothing depends on it any more
                continue


def _lines(records: Sequence[Any]) -> Iterator[str]:
    for record in records:
        yield from str(record).splitlines()


def _in_one_message(envelope: Sequence[str]) -> Iterator[list[str]]:
    """A generator of one list: pypsrp sends a message an item otherwise."""
    yield list(envelope)
