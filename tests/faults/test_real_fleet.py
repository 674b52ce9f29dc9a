"""A fleet of booted Debian hosts over SSH: one is gone, one loses its connection again and again, and the orchestrator is killed."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.linux import inotify
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import PROXY
from tests.boxes.mirror import Mirror
from tests.boxes.ssh.wire import Wire
from tests.faults.small_packages import write_index
from tests.formats import validate
from tests.linux.small_lock import SmallSite
from tests.served import served
from tests.site import steps

COUNT = 20
LOSES_ITS_LINE = "lin12"
IN_THE_EVENTS = 6000  # bytes that come from a host: less than half of them while greeting and logging on
TOO_LONG = 1200.0  # seconds
pytestmark = pytest.mark.second_tier("installs nineteen Debian hosts")


class FleetSite(SmallSite):
    """Many hosts in one inventory."""

    def __init__(self, folder: Path, hosts: dict[str, LinuxBox], index_url: str) -> None:
        self.folder, self.hosts = folder, hosts
        self.wire = Wire(hosts[LOSES_ITS_LINE].ssh_port)
        self.secrets = {"NOTEBOOK_PASSWORD": "correct horse battery"}
        shared = {
            "system": "linux",
            "user": "root",
            "address": "127.0.0.1",
            "key_file": str(next(iter(hosts.values())).key),
            "packages.index_url": index_url,
            "downloads.proxy": PROXY,
            "notebook.password.env": "NOTEBOOK_PASSWORD",
        }
        lines = ["[defaults]", *(f"{key} = {json.dumps(value)}" for key, value in shared.items())]
        for name, host in hosts.items():
            port = self.wire.port if name == LOSES_ITS_LINE else host.ssh_port
            lines += [f"[hosts.{name}]", f"port = {port}", f"host_key = {json.dumps(host.host_key)}"]
        (folder / "nbserver.toml").write_text("\n".join([*lines, ""]), "utf-8")

    def heard(self, host: str) -> list[str]:
        """The whole lines that the workstation has of a host's only run."""
        files = list(self.folder.glob(f"nbserver-runs/2*/{host}/events.jsonl"))
        lines = files[0].read_text("utf-8").splitlines(keepends=True) if files else []
        return [line.removesuffix("\n") for line in lines if line.endswith("\n")]

    def has_finished(self, host: str) -> bool:
        return any('"finished"' in line for line in self.heard(host)[-1:])

    def kept(self, host: str) -> list[str]:
        """The lines of all runs as the host has them."""
        files = sorted(self.hosts[host].root.glob("var/lib/nbserver/state/runs/*/events.jsonl"))
        return [line for file in files for line in file.read_text("ascii").splitlines()]


@pytest.fixture
def site(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path: Path) -> Iterator[FleetSite]:
    """The fleet. Its first host has been switched off."""
    (index := tmp_path / "index").mkdir()
    lines = write_index(index, linux_mirror)
    with inotify.enough_for(COUNT), served(index) as url, ThreadPoolExecutor(4) as pool:
        booted = list(pool.map(lambda _: debian_host(), range(COUNT)))
        try:
            (folder := tmp_path / "site").mkdir()
            (folder / "small.lock.txt").write_text("\n".join(lines))
            made = FleetSite(folder, {f"lin{number:02}": host for number, host in enumerate(booted)}, url)
            made.hosts["lin00"].cut_power()
            yield made
            made.wire.close()
        finally:
            for host in booted:
                host.drop()


def wait(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + TOO_LONG
    while not true():
        assert process.poll() is None, f"it ended before: {process.communicate()}"
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_every_live_host_converges_and_no_event_is_lost(site: FleetSite) -> None:
    live = list(site.hosts)[1:]

    # Three hosts at a time: the orchestrator is killed when the first one has finished, and most have not begun.
    process = site.start("apply", "all", "--forks", "3")
    wait(lambda: any(site.has_finished(host) for host in live), process)
    process.kill()
    process.communicate()
    for host in live:
        assert site.heard(host) == site.kept(host)[: len(site.heard(host))], host
    assert not site.kept(LOSES_ITS_LINE)

    site.wire.cut("down", IN_THE_EVENTS)
    process = site.start("resume")
    for _ in range(2):
        wait(lambda: site.wire.was_cut, process)
        site.wire.cut("down", IN_THE_EVENTS)
    out, err = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 3, out + err

    (run,) = site.runs()
    summary = json.loads((run / "summary.json").read_text("ascii"))
    validate("summary", summary)
    assert Counter(one["outcome"] for one in summary["hosts"].values()) == {"ok": len(live), "unreachable": 1}
    assert (run / LOSES_ITS_LINE / "log.txt").read_text("utf-8").count("Requesting the events after"), "its line was cut"
    for host in live:
        events: list[dict[str, Any]] = [json.loads(line) for line in site.heard(host)]
        assert site.heard(host) == site.kept(host), f"{host}: no event is lost or doubled"
        changed = steps(events, "changed")
        assert len(changed) == len(set(changed)) == summary["hosts"][host]["changed"], f"{host}: no step is done twice"
    done = site.run("plan", *live)
    assert done.returncode == 0, done.stdout + done.stderr
    done = site.run("audit", "--run", str(run))
    assert done.returncode == 0, done.stdout + done.stderr
