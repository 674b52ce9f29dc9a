"""The way to a notebook server behind jump hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbserver.base.errors import ConnectError

if TYPE_CHECKING:
    from nbserver.base.dialing import Dial
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.ssh_server import SshServer
    from nbserver.transports.transport import LogonSecrets


def hops_to_notebook(host: AnyHost) -> Sequence[SshServer]:
    """Return the jump hosts on the way to the notebook server. A public URL is reached directly, as by a browser."""
    return () if host.notebook.public_url else getattr(host, "hops", ())


@contextmanager
def way_to_notebook(host: AnyHost, secrets: Sequence[LogonSecrets]) -> Iterator[Dial | None]:
    """Yield what opens a connection to the notebook server, or None if there is no jump host.

    `secrets` are those of the jump hosts. If there is no connection, the last jump host may know why. Raises HostError.
    """
    hops = hops_to_notebook(host)
    if not hops:
        yield None
        return
    from nbserver.transports.ssh.forward import Forward

    with Forward(host.name, hops, secrets, str(host.address), host.notebook.port, threading.Event()) as way:
        try:
            yield way.dial
        except ConnectError as error:
            reason = way.reason()
            if reason is None:
                raise
            reason.where = error.where
            raise reason from error
