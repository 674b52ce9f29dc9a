"""The SSH agent of OpenSSH, for as long as a test lasts."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def agent_with(*keys: Path) -> Iterator[Path]:
    """The socket of an agent that has the private keys."""
    with tempfile.TemporaryDirectory(
        ignore_cleanup_errors=True
    ) as folder:  # a new one: an agent that ends removes its socket a little later
        socket = Path(folder) / "socket"
        words = subprocess.run(["ssh-agent", "-s", "-a", socket], capture_output=True, text=True, check=True).stdout
        found = re.search(r"SSH_AGENT_PID=(\d+)", words)
        assert found
        try:
            add(socket, *keys)
            yield socket
        finally:
            os.kill(int(found[1]), 15)


def add(socket: Path, *keys: Path) -> None:
    """Gives the agent further keys."""
    subprocess.run(["ssh-add", "-q", *keys], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, stderr=subprocess.DEVNULL)
