"""Time the steps of a verification, and add the host and step to every error."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
import urllib3
import websocket

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance, TooMuch
from nbserver.base.errors import ConnectError, HostError, VerifyError
from nbserver.verify.notebook_client import NOT_A_NOTEBOOK, Address

if TYPE_CHECKING:
    pass


@dataclass
class Walk:
    """Times and reports the steps of a verification, and adds the host and step to every error."""

    host: str
    address: Address
    on_step: Callable[[str, str], None]
    allowance: Allowance
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        found: list[str] = []
        start = time.monotonic()
        try:
            yield found.append
        except HostError as error:
            error.where = self._where(name)
            raise
        except pinned_tls.FingerprintMismatch as error:
            raise error.for_host(self.host, where=self._where(name), todo=OTHER_CERTIFICATE) from None
        except TooMuch as error:
            what = f"{self.address.netloc} {error}"
            raise VerifyError(what, host=self.host, where=self._where(name), todo=NOT_A_NOTEBOOK) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError, UnicodeError) as error:
            raise self._connect_error(error, self._where(name)) from None
        self.seconds[name] = time.monotonic() - start
        self.on_step(name, " ".join(found))

    def _where(self, name: str) -> str:
        return f"{self.host}: verify: {name}"

    def _connect_error(self, error: Exception, where: str) -> HostError:
        there = self.address.netloc
        if seconds := self.allowance.over():
            what = f"{there} did not send a complete response within {seconds:.0f} s"
            todo = "Check the load of the host and the network, and that this is the address of the notebook server"
        elif isinstance(error, (socket.gaierror, UnicodeError)):
            what = f"this workstation could not resolve the name {self.address.host}"
            todo = "Check address and public_url in the inventory, and DNS"
        elif isinstance(error, ConnectionRefusedError):
            what, todo = f"nothing is listening on {there}", "Check the port, and that the service nbserver is running on the host"
        elif isinstance(error, (TimeoutError, requests.Timeout, websocket.WebSocketTimeoutException)):
            what = f"{there} did not answer in time"
            todo = "Check the firewall, the cloud provider's rules for the port, and that the service nbserver is running on the host"
        elif isinstance(error, pinned_tls.ProxyRefused):
            what, todo = str(error), "Check HTTPS_PROXY and NO_PROXY on this workstation"
        elif isinstance(error, ssl.SSLError):
            what = f"{there} does not speak TLS ({error.reason or 'no handshake'})"
            todo = "Check the port: the notebook server accepts only HTTPS"
        else:
            reason = getattr(error, "strerror", None) or type(error).__name__
            what = f"the connection to {there} failed ({reason})"
            todo = "Check the network and run nbserver verify again"
        return ConnectError(what, host=self.host, where=where, todo=todo)


OTHER_CERTIFICATE = (
    "If the certificate was replaced on purpose, run nbserver apply to record it; if not, this may be an attack: "
    "do not enter the password in a browser"
)
