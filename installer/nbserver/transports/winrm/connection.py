"""The connection of pywinrm to a WinRM listener: logon, certificate, encryption, time-outs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from nbserver.base.errors import AuthenticationError
from nbserver.transports.wsman.answers import limit_answers
from nbserver.transports.wsman.tls import trust

if TYPE_CHECKING:
    import requests
    from winrm.protocol import Protocol

    from nbserver.inventory.windows_host import WindowsHost

# Seconds. The operation timeout is what the host may take to open a shell; polls for output have their own.
OPERATION_TIMEOUT = 60
READ_TIMEOUT = 75
CONNECTION_TIMEOUT = 30

Method = Literal["basic", "kerberos", "ntlm"]


def open_protocol(host: WindowsHost, password: str | None, deadline: Callable[[], float] = lambda: math.inf) -> Protocol:
    """A Protocol of pywinrm for the host, which sends nothing after the deadline. Nothing is sent yet. Raises AuthenticationError."""
    from winrm.protocol import Protocol

    protocol = Protocol(
        f"{'https' if host.tls else 'http'}://{_in_url(host.address)}:{host.port}/wsman",
        transport=_method(host),
        username=host.user,
        password=password,
        ca_trust_path=str(host.ca_file) if host.ca_file else None,  # type: ignore[arg-type]  # None: not what the environment says
        message_encryption="auto" if host.tls else "always",
        proxy=host.proxy,
        operation_timeout_sec=OPERATION_TIMEOUT,
        read_timeout_sec=READ_TIMEOUT,
    )
    protocol.transport.read_timeout_sec = (CONNECTION_TIMEOUT, READ_TIMEOUT)  # type: ignore[assignment]  # requests takes the pair
    _prepare_session(protocol, host, deadline)
    return protocol


def forget(protocol: Protocol) -> None:
    """Drops the connection. What NTLM agreed on belongs to it, so nothing of that may be kept; the next request logs on anew."""
    protocol.transport.close_session()
    protocol.transport.encryption = None


def _prepare_session(protocol: Protocol, host: WindowsHost, deadline: Callable[[], float]) -> None:
    build = protocol.transport.build_session

    def build_session() -> requests.Session:
        if protocol.transport.session:
            return protocol.transport.session
        try:
            session = build()
        except BaseException:
            # pywinrm would keep a session that could not agree on encryption, and send its next message unencrypted.
            forget(protocol)
            raise
        trust(session, host)
        limit_answers(session, host.name, deadline)
        return session

    protocol.transport.build_session = build_session  # type: ignore[method-assign]


def _method(host: WindowsHost) -> Method:
    """pywinrm has no Negotiate of its own: NTLM stands in for it."""
    if host.auth != "kerberos":
        return "basic" if host.auth == "basic" else "ntlm"
    from winrm.transport import HAVE_KERBEROS

    if not HAVE_KERBEROS:
        raise AuthenticationError(
            'auth = "kerberos" with transport = "winrm" needs a package that is not installed here',
            host=host.name,
            todo="Install it with pip install 'pywinrm[kerberos]', or choose transport = \"psrp\"",
        )
    return "kerberos"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
