"""A pywinrm connection to a WinRM listener: logon, certificate, encryption, and timeouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from nbserver.base.dialing import Dial, dial_with
from nbserver.base.errors import AuthenticationError, UsageError
from nbserver.transports.wsman.answers import limit_answers
from nbserver.transports.wsman.kerberos import require_kerberos
from nbserver.transports.wsman.tls import trust

if TYPE_CHECKING:
    import requests
    from winrm.protocol import Protocol

    from nbserver.inventory.windows_host import WindowsHost

# Seconds. The operation timeout limits how long the host may take to open a shell; polls for output have their own timeout.
OPERATION_TIMEOUT = 60
READ_TIMEOUT = 75
CONNECTION_TIMEOUT = 30

Method = Literal["basic", "kerberos", "ntlm"]


def open_protocol(
    host: WindowsHost, password: str | None, deadline: Callable[[], float] = lambda: math.inf, dial: Dial | None = None
) -> Protocol:
    """Return a pywinrm Protocol for the host, which sends nothing after the deadline. Sends nothing itself. Raises AuthenticationError.

    `dial` opens its connections, if jump hosts are on the way.
    """
    from winrm.protocol import Protocol

    protocol = Protocol(
        f"{'https' if host.tls else 'http'}://{_in_url(host.address)}:{host.port}/wsman",
        transport=_method(host),
        username=host.user,
        password=password,
        ca_trust_path=None,  # type: ignore[arg-type]  # None: ignore the environment
        message_encryption="auto" if host.tls else "always",
        proxy=host.proxy,
        operation_timeout_sec=OPERATION_TIMEOUT,
        read_timeout_sec=READ_TIMEOUT,
    )
    _prepare_session(protocol, host, deadline, dial)
    return protocol


def forget(protocol: Protocol) -> None:
    """Drop the connection and its NTLM state, which is only valid for this connection. The next request logs on again."""
    protocol.transport.close_session()
    protocol.transport.encryption = None


def _prepare_session(protocol: Protocol, host: WindowsHost, deadline: Callable[[], float], dial: Dial | None) -> None:
    build, set_up = protocol.transport.build_session, protocol.transport.setup_encryption
    connecting = min(CONNECTION_TIMEOUT, host.connect_timeout)

    def setup_encryption(session: requests.Session) -> None:
        """Set up encryption inside HTTP, which sends the first request before the session is built."""
        dial_with(session, dial)
        set_up(session)

    def build_session() -> requests.Session:
        if protocol.transport.session:
            return protocol.transport.session
        # Without TLS, pywinrm sends its first message while it builds the session. requests takes a pair of timeouts.
        protocol.transport.read_timeout_sec = (connecting, min(READ_TIMEOUT, host.connect_timeout))  # type: ignore[assignment]
        try:
            session = build()
        except BaseException:
            # pywinrm would keep a session that failed to negotiate encryption, and send its next message unencrypted.
            forget(protocol)
            raise
        protocol.transport.read_timeout_sec = (connecting, READ_TIMEOUT)  # type: ignore[assignment]
        trust(session, host, dial if host.tls else None)
        limit_answers(session, host.name, deadline, host.connect_timeout)
        return session

    protocol.transport.build_session = build_session  # type: ignore[method-assign]
    protocol.transport.setup_encryption = setup_encryption  # type: ignore[method-assign]


def _method(host: WindowsHost) -> Method:
    """Return pywinrm's name of the authentication method. pywinrm does not support Negotiate, so NTLM replaces it."""
    if host.auth != "kerberos":
        return "basic" if host.auth == "basic" else "ntlm"
    try:
        require_kerberos(host)
    except UsageError as error:
        raise AuthenticationError.of(error, host=host.name) from None
    return "kerberos"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
