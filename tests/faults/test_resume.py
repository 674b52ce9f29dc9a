"""An orchestrator is killed at any write of its run, or its run directory is copied while it runs. `resume` loses and doubles nothing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.commands import resume
from nbserver.render import render
from nbserver.run import chain_check, evidence_log, host_run, past_files
from nbserver.run.result import Result, exit_code
from nbserver.view.plain_lines import PlainLines
from tests.boxes.ssh.fixtures import PASSWORD, host_of, sshd, text_of, user, wait_until, wire  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.wire import Wire
from tests.checkout import PYTHON_PATH
from tests.formats import validate
from tests.linux import fleet_run
from tests.linux.small_host import SmallHost
from tests.linux.small_script import STEPS
from tests.tier import FULL

NAMES = ("one", "two")
LAST = 126  # the number of the last point of a whole run
# Before and while the intent is written, before a script is sent, while events come, and at the end. 50 at random in the second tier.
POINTS = (11, 35, 122, LAST)


class Fleet:
    """Two hosts on this machine, and an orchestrator for them."""

    def __init__(self, sshd: Sshd, user: User, wire: Wire, folder: Path) -> None:
        settings = host_of(sshd, user)
        self.folder, self.runs = folder, folder / "nbserver-runs"
        self.hosts = {
            name: SmallHost(settings.model_copy(update={"name": name, "user": "root"}), wire, folder / name, self.runs) for name in NAMES
        }
        self.inventory = folder / "nbserver.toml"
        tables = "".join(f'[hosts.{name}]\naddress = "127.0.0.1"\n' for name in NAMES)
        self.inventory.write_text(
            f'[defaults]\nsystem = "linux"\nuser = "root"\nport = {sshd.port}\nkey_file = "{settings.key_file}"\n'
            f'host_key = "{settings.host_key}"\nnotebook.password = {{ env = "FLEET_PASSWORD" }}\n{tables}'
        )
        environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "FLEET_PASSWORD": PASSWORD, "XDG_STATE_HOME": str(folder / "state")}
        command = [sys.executable, "-m", "tests.linux.fleet_run"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def prepare(self) -> None:
        shutil.rmtree(self.runs, ignore_errors=True)
        for host in self.hosts.values():
            host.prepare()

    def begin(self, kill_at: int, resumed: str | None = None, mode: str = "apply") -> None:
        job = {
            "inventory": str(self.inventory),
            "places": {name: str(host.place) for name, host in self.hosts.items()},
            "mode": mode,
            "resume": resumed,
            "runs": str(self.runs),
            "kill_at": kill_at,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def ended(self) -> tuple[int, int]:
        """The status of the process, and how often it has written."""
        assert self.process.stdout is not None
        status, writes = self.process.stdout.readline().split()
        return int(status), int(writes)

    @property
    def run(self) -> str:
        (run,) = [path.name for path in self.runs.glob("2*")] or [""]
        return run

    def kill(self) -> None:
        """Kill the process of the run as it is."""
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        assert self.ended()[0] == signal.SIGKILL

    def copy(self, to: Path) -> None:
        """Copy the run directory while it is written. A file that was replaced meanwhile is missing."""
        with contextlib.suppress(shutil.Error, FileNotFoundError):
            shutil.copytree(self.runs / self.run, to / self.run)

    def resume(self, runs: Path | None = None) -> dict[str, Result]:
        return resume.resume(self.inventory, None, runs or self.runs, {}, None, PlainLines(lambda line: None))[2]

    def check(self, runs: Path, results: dict[str, Result]) -> None:
        """Every host has done everything once, and the journal has each event that a host has, once."""
        folder = runs / self.run
        assert {name: (result.outcome, result.error) for name, result in results.items()} == dict.fromkeys(NAMES, ("ok", ""))
        for name, host in self.hosts.items():
            assert legs(folder / name) == self.kept(host), name
            applied = [line.split()[1] for line in text_of(host.place / "applied").splitlines()]
            assert applied == list(STEPS), "each step was applied once"
            assert (results[name].changed, results[name].steps) == (2, dict.fromkeys(STEPS, "changed"))
            assert not host.lock()
        summary = past_files.summary(folder)
        assert summary is not None and {name: one["outcome"] for name, one in summary.items()} == dict.fromkeys(NAMES, "ok")
        assert exit_code(results) == 0

    def kept(self, host: SmallHost) -> dict[str, list[str]]:
        runs = host.state_folder / "runs"
        return {path.name: text_of(path / "events.jsonl").splitlines() for path in sorted(runs.iterdir())}

    def audit(self, runs: Path) -> None:
        folder = runs / self.run
        anchors = [entry.head for entry in evidence_log.read(evidence_log.default_path(), self.run)]
        chain_check.check(folder, anchors)
        head = json.loads((folder / "run.json").read_text())
        validate("run", head)
        validate("summary", json.loads((folder / "summary.json").read_text()))
        assert head["end"]
        for path in folder.glob("resumed-*.json"):
            validate("resumed", json.loads(path.read_text()))


def legs(folder: Path) -> dict[str, list[str]]:
    """The events in the journal, by the run ID on the host."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (folder / "events.jsonl").read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["n"] == 1:
            name = event["run"]
        found.setdefault(name, []).append(line)
    return found


@pytest.fixture(scope="module")
def only_fleet(sshd: Sshd, user: User, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(sshd, user, wire, tmp_path_factory.mktemp("fleet"))
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    made.process.wait(30)


@pytest.fixture
def fleet(only_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("FLEET_PASSWORD", PASSWORD)
    monkeypatch.setenv("XDG_STATE_HOME", str(only_fleet.folder / "state"))
    monkeypatch.setattr(render, "render_all", render.render_all)
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.05, 0.2, 0.5))
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.05, 0.2))
    only_fleet.prepare()
    fleet_run.with_small_scripts({name: str(host.place) for name, host in only_fleet.hosts.items()})
    yield only_fleet
    for host in only_fleet.hosts.values():
        host.release()


@pytest.mark.parametrize("point", sorted(random.Random(16).sample(range(2, LAST + 1), 50)) if FULL else POINTS)
def test_killed_at_a_write(fleet: Fleet, point: int) -> None:
    fleet.begin(point)
    status, writes = fleet.ended()
    assert status == signal.SIGKILL and point <= writes <= LAST
    if not fleet.run or not (fleet.runs / fleet.run / "intent.json").exists():
        assert not any((host.state_folder).exists() for host in fleet.hosts.values()), "no host was contacted"
        return
    results = fleet.resume()
    fleet.check(fleet.runs, results)
    fleet.audit(fleet.runs)


def test_resume_is_killed_too(fleet: Fleet) -> None:
    """Each attempt continues where the one before it was killed."""
    fleet.begin(33)
    assert fleet.ended()[0] == signal.SIGKILL
    for point in range(3, 60, 2 if FULL else 16):
        fleet.begin(point, fleet.run)
        if fleet.ended()[0] != signal.SIGKILL:
            break
    if past_files.summary(fleet.runs / fleet.run) is None:
        fleet.begin(0, fleet.run)
        assert fleet.ended()[0] == 0
    with pytest.raises(UsageError, match=r"the run .* cannot be resumed, because it has finished on every host"):
        resume.resume(fleet.inventory, fleet.run, fleet.runs, {}, None, PlainLines(lambda line: None))
    with pytest.raises(UsageError, match="can be resumed"):
        fleet.resume()
    fleet.check(
        fleet.runs, {name: Result(name, "ok", 2, steps=one["steps"]) for name, one in past_files.summary(fleet.runs / fleet.run).items()}
    )
    fleet.audit(fleet.runs)


@pytest.mark.parametrize("event", range(1, 11) if FULL else (4,))
def test_a_run_that_is_still_going_on_is_followed(fleet: Fleet, event: int) -> None:
    """Its orchestrator is killed while the hosts are held at an event, and they go on only after `resume` has asked them."""
    for host in fleet.hosts.values():
        host.hold(event)
    fleet.begin(0)
    for host in fleet.hosts.values():
        host.wait_until_held(event)
    fleet.kill()
    results: list[dict[str, Result]] = []
    thread = threading.Thread(target=lambda: results.append(fleet.resume()), daemon=True)
    thread.start()
    for host in fleet.hosts.values():
        log = fleet.runs / fleet.run / host.steady.name / "log.txt"
        assert wait_until(lambda log=log: "resuming the run" in text_of(log))
        host.release()
    thread.join(60)
    fleet.check(fleet.runs, results[0])
    fleet.audit(fleet.runs)
    assert all(len(fleet.kept(host)) == 1 for host in fleet.hosts.values()), "one run per host"


@pytest.mark.parametrize("number", range(20 if FULL else 2))
def test_a_copy_of_the_run_directory_is_resumed(fleet: Fleet, number: int, tmp_path: Path) -> None:
    """The copy was taken at a random moment, while files were written; its workstation continues while the first one goes on."""
    fleet.begin(0)
    until = time.monotonic() + random.Random(number).uniform(0.05, 1.5)
    assert wait_until(lambda: fleet.run and (fleet.runs / fleet.run / "intent.json").exists())
    copy = tmp_path / "copy"
    while time.monotonic() < until and not (fleet.runs / fleet.run / "summary.json").exists():
        shutil.rmtree(copy, ignore_errors=True)
        fleet.copy(copy)
    folder = copy / fleet.run
    if not folder.exists():
        fleet.copy(copy)
    if (folder / "summary.json").exists():
        (folder / "summary.json").unlink()
    results = resume.resume(fleet.inventory, fleet.run, copy, {}, None, PlainLines(lambda line: None))[2]
    assert fleet.ended()[0] == 0
    fleet.check(copy, results)
