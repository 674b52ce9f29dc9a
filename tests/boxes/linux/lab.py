"""A network of its own for test hosts: one network namespace with a bridge, and a web proxy as the only way out.

What a lab makes carries its name (`nbt-PID-...`): namespaces, control groups, machines, a folder in the tests' cache. The
folder is locked as long as the lab's process lives; the next lab removes those whose process is gone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tests.boxes.linux import control_groups, folders
from tests.boxes.linux.carry import NAMESPACES, Forward, LoopThread, listen
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.boxes.linux.base import LinuxBase
    from tests.boxes.linux.host import LinuxBox

NETWORK = "198.51.100"  # TEST-NET-2 (RFC 5737), and only inside the namespace
GATEWAY = f"{NETWORK}.1"
PROXY_PORT = 8888
PROXY = f"http://{GATEWAY}:{PROXY_PORT}"
PROGRAMS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "tinyproxy": "tinyproxy-bin",
}
CAP_SYS_ADMIN = 21  # linux/capability.h


def lacks(programs: dict[str, str] = PROGRAMS) -> str | None:
    """What this machine lacks to be a lab, in words; None when nothing. `programs` maps a program to its Debian package."""
    if os.geteuid():
        return "test hosts need root"
    status = Path("/proc/self/status").read_text()
    if not int(status.split("CapEff:")[1].split()[0], 16) >> CAP_SYS_ADMIN & 1:
        return "test hosts need CAP_SYS_ADMIN (namespaces and mounts)"
    missing = [f"{program} (Debian package {package})" for program, package in programs.items() if not shutil.which(program)]
    return f"test hosts need {', '.join(missing)}" if missing else None


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL, timeout=120)


class LinuxLab:
    """The network, made below `cache`; close it, or use it in a with statement. Raises CalledProcessError, OSError."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache / "linux"
        labs = self.cache / "labs"
        with folders.locked(labs / "lock"):
            remove_leftovers(labs)
            self.name = f"nbt-{os.getpid()}-{secrets.token_hex(2)}"
            self.folder = labs / self.name
            self.folder.mkdir()
            self._lock = folders.take(self.folder / "lock")
        self.hosts: list[LinuxBox] = []
        self._threads: list[LoopThread] = []
        self._numbers = iter(range(10, 255))
        try:
            self._make_network()
            self._start_proxy()
        except BaseException:
            self.close()
            raise

    def _make_network(self) -> None:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "add", "br0", "type", "bridge")
        ip("-n", self.name, "addr", "add", f"{GATEWAY}/24", "dev", "br0")
        ip("-n", self.name, "link", "set", "br0", "up")
        self.inside = LoopThread(self.name)
        self._threads.append(self.inside)

    def _start_proxy(self) -> None:
        """A web proxy outside; inside, connections to PROXY are carried to it."""
        outside = LoopThread()
        self._threads.append(outside)
        port = free_port()
        settings = self.folder / "proxy.conf"
        settings.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nDisableViaHeader Yes\nLogLevel Error\n")
        with (self.folder / "proxy.log").open("wb") as log:
            command = control_groups.command_in(self.name, "tinyproxy", "-d", "-c", str(settings))
            self._proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not outside.do(_answers("127.0.0.1", port)):
            if self._proxy.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web proxy does not start: {(self.folder / 'proxy.log').read_text()[-1000:]}")
            time.sleep(0.02)
        Forward(outside, self.inside.call(lambda: listen(GATEWAY, PROXY_PORT)), ("127.0.0.1", port))

    def command(self, *command: str) -> list[str]:
        """The command that runs `command` inside the lab's network (a browser, curl, ssh, a whole nbserver)."""
        return ["ip", "netns", "exec", self.name, *command]

    def answers(self, address: str, port: int, first: bytes = b"") -> bool:
        """Whether something inside listens there, and begins with `first`."""
        return self.inside.do(_answers(address, port, first))

    def forward(self, address: str, port: int) -> Forward:
        """A port of 127.0.0.1 outside that leads to `address` inside."""
        return Forward(self.inside, listen("127.0.0.1"), (address, port))

    def clone(self, base: LinuxBase, name: str = "") -> LinuxBox:
        """A fresh host on that base, not booted; milliseconds."""
        from tests.boxes.linux.host import LinuxBox

        number = next(self._numbers)
        host = LinuxBox(self, base, name or f"{base.name}-{number}", f"{NETWORK}.{number}")
        self.hosts.append(host)
        return host

    def close(self) -> None:
        """Drops the hosts that are left and removes everything that the lab made."""
        for host in self.hosts[:]:
            host.drop()
        for thread in self._threads:
            thread.close()
        self._threads.clear()
        with folders.locked(self.folder.parent / "lock"):  # or another lab, which begins just now, takes it for a leftover
            remove_lab(self.folder)
            if self._lock:
                self._lock.close()

    def __enter__(self) -> LinuxLab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


async def _answers(address: str, port: int, first: bytes = b"") -> bool:
    import asyncio

    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 1)
        try:
            return await asyncio.wait_for(reader.readexactly(len(first)), 1) == first
        finally:
            writer.close()
    except (TimeoutError, OSError, EOFError):
        return False


def remove_leftovers(labs: Path) -> None:
    """Removes the labs whose process is gone. The caller holds the lock of the folder of labs."""
    for folder in sorted(path for path in labs.iterdir() if path.is_dir()):
        if lock := folders.take(folder / "lock"):
            with lock:
                remove_lab(folder)


def remove_lab(folder: Path) -> None:
    """Ends and removes what belongs to the lab of that folder: processes, mounts, namespaces, control groups, files."""
    for host in folder.glob("hosts/*"):
        remove_host(host, f"{folder.name}-{host.name}")
    control_groups.end(folder.name)
    remove_namespace(folder.name)
    folders.remove(folder)


def remove_host(folder: Path, machine: str) -> None:
    """The same for one host. `machine` is the name of its control group and namespace."""
    control_groups.end(machine)
    folders.remove(folder)
    remove_namespace(machine)
    shutil.rmtree(Path("/run/systemd/nspawn/propagate") / machine, ignore_errors=True)


def remove_namespace(name: str) -> None:
    if (NAMESPACES / name).exists():
        ip("netns", "del", name)
