"""Linux hosts in a box that nbserver has set up, each with state of its own, so that a further apply finds nothing to change."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.boxes.artifacts import cache_folder, linux_wheels
from tests.boxes.linux import inotify
from tests.boxes.linux.base import DEBIAN, LinuxBase, build
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import PROXY, LinuxLab, lacks
from tests.boxes.mirror import Mirror
from tests.conftest import LOCK

CHECKOUT = Path(__file__).parents[2]
PORT = 9999
LINUX_LOCK = LOCK.with_name("linux.txt")
IMAGE = "benchmark-ssh"


@dataclass(frozen=True)
class Hosts:
    """The hosts by name, their lab, and the folder with the inventory that names them."""

    lab: LinuxLab
    hosts: Mapping[str, LinuxBox]
    folder: Path
    secrets: Mapping[str, str] = field(repr=False)

    def nbserver(self, *arguments: str) -> list[str]:
        """The command line, inside the lab's network."""
        return self.lab.command(sys.executable, "-m", "nbserver", *arguments)

    @property
    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(CHECKOUT / "installer"), **self.secrets}

    def apply(self, names: Sequence[str]) -> None:
        """Raises RuntimeError with nbserver's words."""
        environment = {**os.environ, **self.variables}
        command = self.nbserver("apply", "--new-salt", "--forks", "4", *names)  # the image has that of its own site
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"nbserver could not set up {', '.join(names)}:\n{(done.stdout + done.stderr)[-3000:]}")


@contextlib.contextmanager
def prepared_hosts(folder: Path, count: int) -> Iterator[Hosts]:
    """`count` hosts, cloned from one that nbserver set up, and each set up by nbserver itself: names and certificate are its own.

    The one that they are cloned from stays in `folder`. Raises LookupError (something that such hosts need is missing) and
    RuntimeError (nbserver could not set one up).
    """
    if words := lacks():
        raise LookupError(words)
    folder.mkdir(parents=True, exist_ok=True)
    cache = cache_folder()
    base = build(cache, DEBIAN)
    with (
        inotify.enough_for(count),
        LinuxLab(cache) as lab,
        Mirror(LINUX_LOCK, wheels=linux_wheels) as mirror,
    ):
        image = LinuxBase(IMAGE, folder / IMAGE)
        if not image.folder.is_dir():
            _say("setting up the first host with nbserver ...")
            _make_image(lab, base, mirror, folder, image)
        _say(f"booting {count} hosts ...")
        hosts = {f"h{number:02}": lab.clone(image, f"h{number:02}") for number in range(1, count + 1)}
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(LinuxBox.boot, hosts.values()))
        prepared = _site(lab, hosts, mirror, folder / "site")
        _say(f"setting up {count} hosts with nbserver ...")
        began = time.monotonic()
        prepared.apply(list(hosts))
        _say(f"... done in {time.monotonic() - began:.0f} s")
        yield prepared


def _make_image(lab: LinuxLab, base: LinuxBase, mirror: Mirror, folder: Path, image: LinuxBase) -> None:
    """Set up by nbserver, shut down, copied. Its service does not start with it: the clones' own apply starts theirs."""
    work = folder / "unfinished"
    shutil.rmtree(work, ignore_errors=True)
    with lab.clone(base, "first") as host:
        host.boot()
        _site(lab, {"first": host}, mirror, folder / "first").apply(["first"])
        host.ssh("systemctl disable --now nbserver")
        host.stop()
        work.mkdir()
        subprocess.run(["cp", "-a", "--reflink=auto", str(host.root), str(work / "root")], check=True)
    for path in (work / "root/etc/ssh").glob("ssh_host_*"):  # a clone has host keys of its own
        path.unlink()
    shutil.copy(base.key, work / "key")
    work.rename(image.folder)


def _site(lab: LinuxLab, hosts: Mapping[str, LinuxBox], mirror: Mirror, folder: Path) -> Hosts:
    """An inventory of these hosts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    key = next(iter(hosts.values())).key
    defaults = {
        "system": "linux",
        "user": "root",
        "key_file": str(key),
        "agent": False,
        "packages.index_url": mirror.index_url,
        "downloads.proxy": PROXY,
        "notebook.port": PORT,
        "notebook.password.env": "NOTEBOOK_PASSWORD",
    }
    lines = ["[defaults]", *(f"{name} = {json.dumps(value)}" for name, value in defaults.items())]
    for name, host in hosts.items():
        lines += [f"[hosts.{name}]", f'address = "{host.address}"', f'host_key = "{host.host_key}"']
    (folder / "nbserver.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Hosts(lab, hosts, folder, {"NOTEBOOK_PASSWORD": secrets.token_hex(12)})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
