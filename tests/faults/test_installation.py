"""The full installation is cut off in the middle: while uv installs, while Windows Installer runs, before the service.

At these points the connection is lost, the host is rebooted, and the orchestrator is killed: in the first tier each of the three at
the points where it does most, in the second one everywhere. Wherever `full` says so (in the second tier), the wheels are those of the
shipped lock and a browser's work is verified; elsewhere two small ones are enough.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from tests import tier
from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.checkout import TESTS
from tests.faults.processes import KINDS, Installers
from tests.faults.small_packages import use_lock, write_index
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps
from tests.tier import points

Point = Literal["wheels", "msi", "service"]
STARTUP = TESTS / "faults" / "held_task_scheduler.ps1"
# What a run leaves on purpose: evidence, and the lock file, empty. And Windows Installer's own copy of a package it was killed over.
LEFT = (
    "windows/Installer/*",
    "ProgramData/nbserver",
    "ProgramData/nbserver/runs",
    "ProgramData/nbserver/runs/*",
    "ProgramData/nbserver/lock",
    "ProgramData/nbserver/record.jsonl",
)
OPENSSL = r"C:\Program Files\OpenSSL\bin\openssl.exe"  # there in the middle of its msi, when Windows does not know the product yet
CLOSING_TASK = "nbserver-close-ie_esc"
# At each point: the step that is under way (or has just ended), and the one that has not begun.
AROUND: dict[Point, tuple[str, str]] = {"wheels": ("packages", "path"), "msi": ("openssl", "packages"), "service": ("notebook", "firewall")}
FULL: dict[tuple[str, Point], bool] = {("cut", "wheels"): tier.FULL, ("reboot", "wheels"): tier.FULL}
TOO_LONG = 600.0  # seconds, on a machine that has much else to do


class Installation:
    """One host to install on, undone after each case; `before` is how it looked at first."""

    def __init__(self, site: Site, host: WindowsBox, small: tuple[str, list[str]]) -> None:
        self.site, self.host, self.small = site, host, small
        self.installers = Installers(host.prefix)
        self.before = self.look()
        self.used = False

    def prepare(self, full: bool) -> None:
        """The host as it was at first, also after a case that failed, and a catalog with the shipped lock or the small one."""
        if self.used:
            self.go_on()
            self.site.endpoint.kill_engines()
            self.site.run("undo", "win1")
            self.host.scheduler.shut_down()
        self.used = True
        self.site.mirror.behave()
        self.site.mirror.write_catalog(self.site.folder / "site-catalog.toml", openssl="msi")
        self.site.write()
        if not full:
            url, lines = self.small
            use_lock(self.site.folder, self.site.mirror, lines)
            self.site.write(packages__index_url=url)
        self.installers.forget()

    # -- what is kept where

    def heard(self, run: Path) -> list[str]:
        """The lines of a run as the workstation has them."""
        return (run / "win1" / "events.jsonl").read_text("utf-8").splitlines()

    def written(self, run: Path) -> list[str]:
        """The same as the host has them."""
        return self.host.path(rf"C:\ProgramData\nbserver\runs\{run.name}\events.jsonl").read_text("utf-8").splitlines()

    def lock(self) -> str:
        return self.host.path(r"C:\ProgramData\nbserver\lock").read_text("utf-8")

    def ie_esc(self) -> str:
        return self.host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"]

    # -- to a point, and on from it

    def start(self, point: Point) -> tuple[subprocess.Popen[str], Path]:
        """An apply that is held at the point. Its process and its run."""
        known = set(self.site.runs())
        files = self.host.path(r"C:\nbserver-test")
        (files / "held").unlink(missing_ok=True)
        if point == "service":
            process = self.site.start("apply", "win1", "--json")
            run = self._new_run(known, process)
            self._wait(lambda: "python" in steps(self.site.events(run), "started"), process)
            (files / "hold").write_text("")
            self._wait((files / "held").exists, process)
        else:
            if point == "wheels":
                self.installers.hold("uv", when=lambda: True)
            else:
                self.installers.hold("msi", when=self.host.path(OPENSSL).exists)
            process = self.site.start("apply", "win1", "--json")
            run = self._new_run(known, process)
            self._wait(lambda: self.installers.held is not None, process)
        now, next_step = AROUND[point]
        self._wait(lambda: now in steps(self.site.events(run), "changed" if point == "service" else "started"), process)
        assert next_step not in [event["step"] for event in self.site.events(run)], "it is held at the point"
        assert self.lock().startswith(f"run {run.name}, mode apply")
        return process, run

    def go_on(self) -> None:
        self.installers.go_on()
        (self.host.path(r"C:\nbserver-test") / "hold").unlink(missing_ok=True)

    def _new_run(self, known: set[Path], process: subprocess.Popen[str]) -> Path:
        self._wait(lambda: bool(set(self.site.runs()) - known), process)
        (run,) = set(self.site.runs()) - known
        return run

    def _wait(self, true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        wait(lambda: true() or process.poll() is not None)
        assert true(), f"it ended before: {process.communicate()}"

    # -- what must hold afterwards

    def whole(self, run: Path) -> list[dict[str, Any]]:
        """The run was heard once and whole, and did each of its steps once. Its events."""
        events = self.site.events(run)
        assert [event["n"] for event in events] == list(range(1, len(events) + 1))
        assert self.heard(run) == self.written(run)
        assert (events[-1]["event"], events[-1]["outcome"]) == ("finished", "ok")
        for event in ("started", "changed"):
            done = steps(events, event)
            assert len(done) == len(set(done)), event
        return events

    def alone(self, *runs: Path) -> None:
        """The runs, and the installers that they started, came one after the other."""
        assert self.installers.runs("uv")
        times = [[datetime.fromisoformat(json.loads(line)["time"][:19]) for line in self.written(run)] for run in runs]
        for earlier, later in pairwise(times):
            assert max(earlier) <= min(later)
        for kind in KINDS:
            looks = self.installers.runs(kind)
            assert all(one[1] < other[0] for one, other in pairwise(looks)), kind

    def converged(self, verify: bool) -> None:
        """Nothing is left to do, the notebook works, no bracket is open, and undo restores what was there."""
        done = self.site.run("plan", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.ie_esc() == "dword:00000001" and CLOSING_TASK not in {path.name for path in self.host.scheduler.tasks.iterdir()}
        if verify:
            done = self.site.run("verify", "win1", "--json")
            assert done.returncode == 0, done.stdout + done.stderr
        self.undone()

    def look(self) -> dict[str, Any]:
        """How the host is, without the evidence that stays there, for administrators only: of this or of earlier tests."""
        found = self.host.snapshot(except_=LEFT)
        found["acl"].pop(r"C:\ProgramData\nbserver", None)
        return found

    def undone(self) -> None:
        done = self.site.run("undo", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        after = self.look()
        for part, was in self.before.items():
            if isinstance(was, dict):
                changed = {key for key in {*was, *after[part]} if was.get(key) != after[part].get(key)}
                assert not changed, f"{part}: {sorted(changed)[:10]}"
            assert after[part] == was, part
        self.used = False

    def close(self) -> None:
        self.go_on()
        self.installers.close()


@pytest.fixture(scope="module")
def installation(windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    (folder / "index").mkdir()
    lines = write_index(folder / "index", mirror)
    options: dict[str, Any] = {
        "auth": ["negotiate"],
        "https": True,
        "password": "Tr0ub4dor",
        "startup": STARTUP,
        "one_process": not tier.FULL,
    }
    with windows_host.endpoint(**options) as endpoint, served(folder / "index") as url:
        site = Site(folder, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
        installation = Installation(site, windows_host, (url, lines))
        yield installation
        installation.close()
        shutil.rmtree(windows_host.path(r"C:\ProgramData\nbserver"), ignore_errors=True)


def wait(true: Callable[[], bool]) -> None:
    end = time.monotonic() + TOO_LONG
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.mark.parametrize("point", points(AROUND, "wheels"))
def test_connection_lost(installation: Installation, point: Point) -> None:
    """For so long that the shell is given up: the run goes on in it, and is heard to its end through another one."""
    full = FULL.get(("cut", point), False)
    installation.prepare(full)
    process, run = installation.start(point)
    installation.site.endpoint.unplug()
    try:
        wait(lambda: "Requesting the events after" in (run / "win1" / "log.txt").read_text("utf-8"))
    finally:
        installation.site.endpoint.plug_in()
        installation.go_on()
    out, err = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 0, out + err
    installation.whole(run)
    installation.alone(run)
    installation.converged(verify=full)


@pytest.mark.parametrize("point", points(AROUND, "msi"))
def test_host_rebooted(installation: Installation, point: Point) -> None:
    """Everything that runs there dies. What the bracket left open is closed at startup, and the next run does what is left."""
    full = FULL.get(("reboot", point), False)
    installation.prepare(full)
    process, run = installation.start(point)
    installation.host.scheduler.shut_down()
    installation.site.endpoint.reboot(0.5, wait=True)
    installation.go_on()
    assert installation.ie_esc() == "dword:00000000", "nobody was left to close it"
    installation.host.scheduler.boot()
    assert installation.host.scheduler.wait(CLOSING_TASK)
    assert installation.ie_esc() == "dword:00000001"
    out, err = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 3 and "Traceback" not in out + err, out + err
    assert installation.heard(run) == installation.written(run), "it was asked what it did until then"

    again = installation.site.run("apply", "win1", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    installation.whole(installation.site.runs()[-1])
    installation.alone(run, installation.site.runs()[-1])
    installation.converged(verify=full)


@pytest.mark.parametrize("point", points(AROUND, "service"))
def test_orchestrator_killed(installation: Installation, point: Point) -> None:
    """The run goes on without it; another one is refused meanwhile, and finds nothing to do afterwards."""
    installation.prepare(full=False)
    process, run = installation.start(point)
    process.kill()
    process.communicate()
    heard = installation.heard(run)
    refused = installation.site.run("apply", "win1")
    assert refused.returncode == 3 and f"another run is changing this host: run {run.name}, mode apply" in refused.stdout, refused.stdout
    installation.go_on()
    wait(lambda: not installation.lock())
    assert installation.written(run)[: len(heard)] == heard
    assert json.loads(installation.written(run)[-1])["outcome"] == "ok"

    again = installation.site.run("apply", "win1", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["hosts"]["win1"]["changed"] == 0
    installation.whole(installation.site.runs()[-1])
    installation.alone(run, installation.site.runs()[-1])
    installation.converged(verify=False)
    installation.site.endpoint.kill_engines()  # the shell that nobody closed: as its idle time-out would
