"""Which port a server gets if another program uses the first one."""

from __future__ import annotations

import socket

from nbserver.local import ports


def test_a_port_that_is_used_is_passed_over() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen(1)
        port = used.getsockname()[1]
        found = ports.first_free("127.0.0.1", port)
        assert found is None or port < found < port + ports.MOST
        assert ports.first_free("*", port) != port


def test_a_port_to_which_browsers_do_not_connect_is_passed_over() -> None:
    found = ports.first_free("127.0.0.1", 6665)
    assert found is None or found >= 6670
