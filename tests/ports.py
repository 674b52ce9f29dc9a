"""Ports of this machine for the tests' servers."""

from __future__ import annotations

import random
import socket
from collections import deque

# Below the ports that Linux (from 32768) and Windows (from 49152) hand out themselves: nobody gets one of these by chance.
PORTS = range(15_000, 30_000)
_claims: deque[socket.socket] = deque(maxlen=100)  # oldest first: a port is given again when it has long been forgotten


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, and that no other run of the tests is given meanwhile.

    What a test listens on it comes later, so the port cannot be held; it is claimed by a UDP socket of the same number.
    """
    for port in random.sample(PORTS, 1000):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise RuntimeError(f"no port of {PORTS} is free")
