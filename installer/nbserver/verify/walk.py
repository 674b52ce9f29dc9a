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
from nbserver.base.message import message
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
            raise error.for_host(self.host, where=self._where(name), advice=OTHER_CERTIFICATE) from None
        except TooMuch as error:
            raise VerifyError(
                "notebook-response-too-large",
                "{place} sent more than {size} in one response",
                host=self.host,
                where=self._where(name),
                todo=NOT_A_NOTEBOOK,
                place=self.address.netloc,
                size=error.values["size"],
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError, UnicodeError) as error:
            raise self._connect_error(error, self._where(name)) from None
        self.seconds[name] = time.monotonic() - start
        self.on_step(name, " ".join(found))

    def _where(self, name: str) -> str:
        return f"{self.host}: verify: {name}"

    def _connect_error(self, error: Exception, where: str) -> HostError:
        host, place = self.host, self.address.netloc
        if seconds := self.allowance.over():
            return ConnectError(
                "response-incomplete",
                "{place} did not send a complete response within {seconds} s",
                host=host,
                where=where,
                todo="Check the host's load, the network, and whether the notebook server uses this address",
                place=place,
                seconds=f"{seconds:.0f}",
            )
        if isinstance(error, (socket.gaierror, UnicodeError)):
            return ConnectError(
                "notebook-name-not-resolved",
                "this workstation could not resolve the name {address}",
                host=host,
                where=where,
                todo="Check address and notebook.public_url in the inventory, and the DNS settings of this workstation",
                address=self.address.host,
            )
        if isinstance(error, ConnectionRefusedError):
            return ConnectError(
                "notebook-nothing-listening",
                "{place} refused the connection",
                host=host,
                where=where,
                todo="Check notebook.port and notebook.public_url in the inventory. To see whether the server is running, run nbserver status HOST",
                place=place,
            )
        if isinstance(error, (TimeoutError, requests.Timeout, websocket.WebSocketTimeoutException)):
            return ConnectError(
                "notebook-no-answer",
                "{place} did not answer in time",
                host=host,
                where=where,
                todo="Check that the nbserver service is running on the host, and that neither a firewall nor the cloud provider blocks the port",
                place=place,
            )
        if isinstance(error, pinned_tls.ProxyRefused):
            return ConnectError(
                "notebook-proxy",
                "could not connect through a proxy: {reason}",
                host=host,
                where=where,
                todo="Check HTTPS_PROXY and NO_PROXY on this workstation",
                reason=error,
            )
        if isinstance(error, ssl.SSLError):
            return ConnectError(
                "notebook-no-tls",
                "{place} does not speak TLS ({reason})",
                host=host,
                where=where,
                todo="Check notebook.port and public_url in the inventory: the notebook server accepts only HTTPS",
                place=place,
                reason=error.reason or message("no-handshake", "the server did not complete the TLS handshake"),
            )
        return ConnectError(
            "notebook-connection-failed",
            "the connection to {place} failed ({reason})",
            host=host,
            where=where,
            todo="To see whether the server is running, run nbserver status HOST. If it is, check the network",
            place=place,
            reason=getattr(error, "strerror", None) or type(error).__name__,
        )


OTHER_CERTIFICATE = message(
    "certificate-replaced",
    "If the certificate was replaced on purpose, run nbserver apply to record it. Otherwise, this may be an attack: do not enter the password in a browser",
)
