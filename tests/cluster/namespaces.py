"""A network for the processes of a cluster: each is in a network namespace, so that one can be cut off."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess


def missing() -> str:
    """What keeps namespaces from being made here, or an empty text."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root on Linux, and ip (Debian package iproute2)"
    return ""


class Network:
    """A switch, to which this process is connected as the first machine, until it is closed."""

    def __init__(self) -> None:
        self._name, self._members = f"nbs{secrets.token_hex(2)}", 0
        self._net = f"10.213.{secrets.randbelow(250)}"
        _ip("netns", "add", self._name)
        _ip("-n", self._name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._name, "link", "set", "bridge", "up")
        self._connect(self._name, "1")
        _ip("addr", "add", f"{self._net}.1/24", "dev", f"{self._name}-1")
        _ip("link", "set", f"{self._name}-1", "up")

    def _connect(self, name: str, number: str) -> None:
        _ip("link", "add", f"{self._name}-{number}", "type", "veth", "peer", "name", f"to-{number}", "netns", self._name)
        _ip("-n", self._name, "link", "set", f"to-{number}", "master", "bridge", "up")

    def member(self) -> tuple[str, list[str]]:
        """A further machine: its address, and what a command in it begins with."""
        self._members += 1
        number = str(self._members + 1)
        name, link = f"{self._name}m{number}", f"{self._name}-{number}"
        _ip("netns", "add", name)
        self._connect(name, number)
        _ip("link", "set", link, "netns", name)
        _ip("-n", name, "addr", "add", f"{self._net}.{number}/24", "dev", link)
        _ip("-n", name, "link", "set", link, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return f"{self._net}.{number}", ["ip", "netns", "exec", name]

    def cut(self, address: str, *, off: bool = True) -> None:
        """Cut a machine off, or connect it again."""
        _ip("-n", self._name, "link", "set", f"to-{address.rpartition('.')[2]}", "down" if off else "up")

    def close(self) -> None:
        for number in range(2, self._members + 2):
            _ip("netns", "del", f"{self._name}m{number}")
        _ip("netns", "del", self._name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
