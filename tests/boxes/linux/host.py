"""A Linux host in a box: a clone of a base, booted by systemd-nspawn with systemd and sshd, in a lab's network.

with lab.clone(base) as host:
    host.boot()
    before = host.snapshot()
    host.ssh("apt-get update")
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.boxes.linux import control_groups
from tests.boxes.linux.base import LinuxBase
from tests.boxes.linux.carry import Forward
from tests.boxes.linux.lab import LinuxLab, ip, remove_host
from tests.boxes.linux.snapshot import snapshot

REBOOT = 133  # what systemd-nspawn --keep-unit ends with when the machine inside wants to start again
ARCHIVES = Path("var/cache/apt/archives")
NSPAWN = (
    "systemd-nspawn --quiet --register=no --keep-unit --boot --console=pipe --suppress-sync=yes --resolv-conf=off --timezone=off "
    "--link-journal=no --capability=CAP_NET_ADMIN,CAP_BPF --system-call-filter=bpf"
).split()


class LinuxBox:
    """A clone of `base` at `address` in the lab's network; `LinuxLab.clone` makes one, `drop` or a with statement ends it.

    `root` is the host's own folder `/` seen from outside. `key` is accepted for root and every user of base.USERS.
    """

    def __init__(self, lab: LinuxLab, base: LinuxBase, name: str, address: str) -> None:
        self.lab, self.base, self.name, self.address = lab, base, name, address
        self.machine = f"{lab.name}-{name}"
        self.folder = lab.folder / "hosts" / name
        self.root = self.folder / "root"
        self.key = base.key
        self.boots = 0
        self._forwards: dict[int, Forward] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._mount()
        self._give_identity()
        self._link()

    def _mount(self) -> None:
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (upper, work, self.root, *(upper / path for path in reversed([ARCHIVES, *ARCHIVES.parents]))):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        for file in self._kept_archives().glob("*.deb"):  # what earlier hosts have downloaded; apt checks the hashes
            os.link(file, upper / ARCHIVES / file.name)
        options = f"lowerdir={self.base.root},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True)

    def _kept_archives(self) -> Path:
        folder = self.lab.cache / "archives" / self.base.folder.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _keep_archives(self) -> None:
        for file in (self.folder / "upper" / ARCHIVES).glob("*.deb"):  # apt puts a file there when it is complete
            with contextlib.suppress(FileExistsError):
                os.link(file, self._kept_archives() / file.name)

    def _give_identity(self) -> None:
        (self.root / "etc/machine-id").write_text("")  # empty, not absent: absent means a first boot
        (self.root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        key = self.root / "etc/ssh/ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{self.name}", "-f", str(key)], check=True)

    def _link(self) -> None:
        """A network namespace of its own, which outlives a reboot, on the lab's bridge."""
        number = self.address.rpartition(".")[2]
        ip("netns", "add", self.machine)
        ip("-n", self.lab.name, "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", self.machine)
        ip("-n", self.lab.name, "link", "set", f"v{number}", "master", "br0", "up")
        ip("-n", self.machine, "link", "set", "lo", "up")
        ip("-n", self.machine, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.machine, "link", "set", "eth0", "up")

    @property
    def host_key(self) -> str:
        """sshd's public key, `ssh-ed25519 BASE64`."""
        return " ".join((self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        """The fingerprint of that key, `SHA256:BASE64` as ssh prints it."""
        digest = hashlib.sha256(base64.b64decode(self.host_key.split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def ssh_port(self) -> int:
        """The port of 127.0.0.1 outside that leads to sshd."""
        return self.forward(22).port

    def forward(self, port: int) -> Forward:
        """A line from 127.0.0.1:`forward.port` outside to a port of the host, the same one each time; see Forward.cut."""
        if port not in self._forwards:
            self._forwards[port] = self.lab.forward(self.address, port)
        return self._forwards[port]

    def booted(self) -> LinuxBox:
        """Boots the machine, or drops it when it does not come up."""
        try:
            self.boot()
        except BaseException:
            self.drop()
            raise
        return self

    def boot(self) -> None:
        """Starts the machine and waits until all of it runs. Raises TimeoutError, RuntimeError when a unit failed."""
        if self._thread:
            raise RuntimeError(f"{self.name} is running")
        self._stopping = False
        self._thread = threading.Thread(target=self._run_machine, name=self.machine, daemon=True)
        self._thread.start()
        self.wait()

    def _run_machine(self) -> None:
        """Starts the machine again as often as it wants to reboot. It ends when this process does."""
        command = control_groups.command_in(
            self.machine,
            *NSPAWN,
            "-D",
            str(self.root),
            "-M",
            self.machine,
            f"--hostname={self.name}",
            f"--network-namespace-path=/run/netns/{self.machine}",
        )
        while not self._stopping:
            self.boots += 1
            with (self.folder / "console.log").open("ab") as console:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
                if self._process.wait() != REBOOT:
                    return

    def wait(self, seconds: float = 300) -> None:
        """Waits until sshd answers and systemd has started everything. Raises as `boot` does."""
        deadline = time.monotonic() + seconds
        while not self.lab.answers(self.address, 22, b"SSH-"):
            if time.monotonic() > deadline or not self.is_running:
                raise TimeoutError(f"{self.name} does not answer on port 22; its console says:\n{self.console()[-2000:]}")
            time.sleep(0.05)
        state = self.ssh("systemctl is-system-running --wait", check=False).stdout.strip()
        if state != "running":
            failed = self.ssh("systemctl --failed --no-legend --plain", check=False).stdout
            raise RuntimeError(f"{self.name} is {state or 'out of reach'}: {failed}")

    @property
    def is_running(self) -> bool:
        return bool(self._thread and self._thread.is_alive())

    def console(self) -> str:
        return (self.folder / "console.log").read_text("utf-8", "replace")

    def ssh(
        self, command: str, *, user: str = "root", text: str | None = None, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command line over ssh (the key; inside the lab's network). Raises AssertionError with all output when it fails."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        line = self.lab.command("ssh", "-F", "none", "-q", "-i", str(self.key), *options, f"{user}@{self.address}", command)
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        done = subprocess.run(line, **given, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{command!r} on {self.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def reboot(self) -> None:
        """Reboots and waits until everything runs again."""
        boots = self.boots
        self.ssh("systemctl reboot", check=False)
        deadline = time.monotonic() + 300
        while self.boots == boots:
            if time.monotonic() > deadline or not self.is_running:
                raise TimeoutError(f"{self.name} does not come back after a reboot:\n{self.console()[-2000:]}")
            time.sleep(0.02)
        self.wait()

    def stop(self) -> None:
        """Shuts the machine down; its files stay, and it can be booted again."""
        self._stopping = True
        if self._thread and self._process:
            self._process.terminate()
            self._thread.join(60)
        self.cut_power()

    def cut_power(self) -> None:
        """The machine stops at once, as when its plug is pulled."""
        self._stopping = True
        control_groups.end(self.machine)
        if self._thread:
            self._thread.join(20)
            self._thread = None

    def snapshot(self) -> dict[str, dict[str, str]]:
        """What an installation may change, to be compared with another one: see snapshot.py. The host must run."""
        return snapshot(self.root, self.ssh)

    def drop(self) -> None:
        """Ends the machine and removes all of it."""
        if self not in self.lab.hosts:
            return
        self.cut_power()
        for forward in self._forwards.values():
            forward.close()
        self._keep_archives()
        remove_host(self.folder, self.machine)
        self.lab.hosts.remove(self)

    def __enter__(self) -> LinuxBox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.drop()
