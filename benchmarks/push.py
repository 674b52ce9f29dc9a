"""How fast files reach a Linux host with downloads.source = "push", next to `ssh HOST 'cat >FILE'` with the same bytes.

Needs root and an SSH server on this machine: python -m benchmarks.push [--megabytes N] [--runs N]. The contenders take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.columns import columns
from nbserver.inventory.linux_host import LinuxHost
from nbserver.notebooks.part import Part
from nbserver.render.bash import settings_block
from nbserver.run.delivery import Delivery
from nbserver.run.envelope import Envelope
from tests.boxes.ssh.fixtures import connected, host_of
from tests.boxes.ssh.sshd import Sshd, User, missing
from tests.linux.parts import FILES, SETTINGS, prelude

WHEELS = 20  # files that are sent, of the same size
TARGET = 0.7  # of the throughput of ssh


class Place:
    """A host, and the files for it. `cat` and `deliver` send all of them to the host, which has none of them."""

    def __init__(self, folder: Path, host: LinuxHost, user: User, megabytes: int) -> None:
        self.host, self.user, self.paths = host, user, dict[str, Path]()
        self.size = megabytes * 1_000_000 // WHEELS
        self.parts, lines = list[Part](), list[str]()
        self.together = folder / "together"
        with self.together.open("wb") as together:
            for number in range(WHEELS):
                name = f"package{number}-1.0-py3-none-any.whl"
                data = secrets.token_bytes(self.size)
                together.write(data)
                (folder / name).write_bytes(data)
                self.paths[name], digest = folder / name, hashlib.sha256(data).hexdigest()
                self.parts.append(Part(name, self.size, digest, 0, self.size))
                lines.append(f"'package{number}==1.0 --hash=sha256:{digest}'\n")
        settings = {**SETTINGS, "scope": "user", "host": host.name, "downloads": {"mirror": None, "proxy": None, "source": "push"}}
        own = [settings_block(settings), "LOCK=(\n", *lines, ")\n", "FIRST_PAGE=''\n"]
        self.script = "".join([*own, prelude("user"), "\n", (FILES / "main.sh").read_text("ascii")])
        self.known = folder / "known_hosts"
        self.known.write_text(f"[127.0.0.1]:{host.port} {host.host_key}\n")

    def cat(self, *options: str) -> None:
        where = [f"-p{self.host.port}", "-oIdentitiesOnly=yes", f"-oUserKnownHostsFile={self.known}", "-i", str(self.host.key_file)]
        with self.together.open("rb") as data:
            subprocess.run(["ssh", "-F", "none", *options, *where, f"{self.user.name}@127.0.0.1", "cat >received"], stdin=data, check=True)

    def deliver(self) -> None:
        with connected(self.host) as transport:
            delivery = Delivery(self.paths, tuple(self.parts))
            lines = Envelope("deliver", f"r-{secrets.token_hex(8)}", parts=delivery.parts).lines()
            said = [json.loads(line) for line in transport.run(self.script, lines, delivery.payload(self.host.name))]
        assert sum(event["event"] == "file" and event["state"] == "stored" for event in said) == WHEELS, said[-3:]

    def clear(self) -> None:
        (self.user.home / "received").unlink(missing_ok=True)
        shutil.rmtree(self.user.home / ".local", ignore_errors=True)
        os.sync()


@contextmanager
def prepared(megabytes: int) -> Iterator[Place]:
    user = User(f"nbb{secrets.token_hex(4)}", secrets.token_urlsafe())
    try:
        shutil.chown(user.home, user.name)
        sshd = Sshd(user.home / "sshd", user.name, user.authorized)
        try:
            with tempfile.TemporaryDirectory() as folder:
                yield Place(Path(folder), host_of(sshd, user, host_key=sshd.public_key()), user, megabytes)
        finally:
            sshd.close()
    finally:
        user.close()


def measured(place: Place, runs: int) -> dict[str, list[float]]:
    """The seconds of each run, by contender."""
    contenders: dict[str, Callable[[], None]] = {
        "ssh cat": place.cat,
        "ssh cat, aes128-gcm": lambda: place.cat("-caes128-gcm@openssh.com"),
        "nbserver, deliver": place.deliver,
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 1):
        for name, act in contenders.items():
            place.clear()
            begun = time.monotonic()
            act()
            if number:  # the first run of each is not counted
                found[name].append(time.monotonic() - begun)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    if missing():
        parser.error(missing())
    with prepared(given.megabytes) as place:
        found = measured(place, given.runs)
    floor = statistics.median(found["ssh cat"])
    rows = [("", "seconds", "MB/s", "of ssh cat")]
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        rows.append((name, f"{middle:.2f}", f"{given.megabytes / middle:.0f}", f"{floor / middle:.0%}"))
    print(columns(rows))
    print(
        f"{given.megabytes} MB in {WHEELS} files, median of {given.runs}; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000} MB memory"
    )
    return 0 if floor / statistics.median(found["nbserver, deliver"]) >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
