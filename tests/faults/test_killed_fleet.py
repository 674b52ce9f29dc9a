"""A fleet of simulated hosts, some dead and some losing their connections, whose orchestrator is killed at any moment, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.commands import run_audit
from tests.checkout import PYTHON_PATH
from tests.cluster.served_hosts import VARIABLE, ServedHosts
from tests.formats import validate
from tests.simulated_fleet import STEPS, Fault, Fleet, Host, dead, drops_after

COUNT, KILLS = 200, 50
EVENTS = 2 * len(STEPS) + 2  # of a host's run
# nbserver itself, which reaches the hosts of this process.
PROGRAM = """
from nbserver.cli.program import main
from nbserver.run import evidence_log
from tests.cluster import served_hosts
evidence_log._write_system_log = lambda text: None
served_hosts.dask_setup(None)
main()
"""


class Orchestrator:
    """Runs nbserver on the hosts of a fleet. It can be killed when the hosts have sent so many events."""

    def __init__(self, folder: Path, fleet: Fleet, served: ServedHosts) -> None:
        self.folder, self.fleet = folder, fleet
        served.fleet = fleet
        self._sent, self._kill_at = 0, 0
        self._process: subprocess.Popen[str] | None = None
        variables = {"PYTHONPATH": PYTHON_PATH, VARIABLE: str(served.path), "XDG_STATE_HOME": str(folder / "state")}
        self._environment = {**os.environ, **variables, "NOTEBOOK_PASSWORD": "correct horse battery"}
        for host in fleet.hosts.values():
            host.fault = self._counting(host.fault)

    def _counting(self, fault: Fault) -> Fault:
        def counted(host: Host, mode: str, n: int) -> None:
            fault(host, mode, n)
            if mode != "connect":
                self._sent += 1
            if self._kill_at and self._sent == self._kill_at and self._process:
                self._process.kill()

        return counted

    def run(self, *arguments: str, kill_at: int = 0) -> tuple[int, str]:
        """The exit code, -9 if it was killed, and what it said."""
        self._sent, self._kill_at = 0, kill_at
        command = [sys.executable, "-c", PROGRAM, *arguments]
        self._process = subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said, _ = self._process.communicate(timeout=300)
        return self._process.returncode, said

    @property
    def run_folder(self) -> Path | None:
        found = [path for path in (self.folder / "nbserver-runs").glob("2*") if path.is_dir()]
        return found[0] if found else None

    def journal(self, host: Host) -> list[str]:
        """The whole lines that the workstation has of a host."""
        lines: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            lines = (self.run_folder / host.name / "events.jsonl").read_text("utf-8").splitlines(keepends=True) if self.run_folder else []
        return [line.removesuffix("\n") for line in lines if line.endswith("\n")]


def record(host: Host) -> list[str]:
    """The events of all runs on the host, in their order."""
    return [line for events in host.runs.values() for line in events]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHosts]:
    made = ServedHosts(tmp_path_factory.mktemp("served"))
    yield made
    made.close()


@pytest.mark.second_tier("kills and resumes fifty runs of 200 hosts")
@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_lost_and_nothing_is_done_twice(
    served: ServedHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    chance = random.Random(number)
    fleet = Fleet(tmp_path, COUNT)
    hosts = list(fleet.hosts.values())
    gone, cut = hosts[::20], hosts[7::20]
    for host in gone:
        host.fault = dead
    for at, host in enumerate(cut):
        host.fault = drops_after(1 + at % EVENTS, times=1 + at % 3)
    live = [host for host in hosts if host not in gone]
    orchestrator = Orchestrator(tmp_path, fleet, served)

    arguments = ("apply", "all", "--forks", "50")
    for attempt in range(3):  # the first attempt is the run, the others continue it
        code, said = orchestrator.run(*arguments, kill_at=chance.randint(1, EVENTS * len(live) // (attempt + 1)))
        for host in live:
            assert orchestrator.journal(host) == record(host)[: len(orchestrator.journal(host))], host.name
        if code != -9:
            break
        arguments = ("resume",)
    else:
        code, said = orchestrator.run("resume")
    assert code == 3, said

    folder = orchestrator.run_folder
    assert folder
    summary = json.loads((folder / "summary.json").read_text("ascii"))
    validate("summary", summary)
    assert Counter(one["outcome"] for one in summary["hosts"].values()) == {"ok": len(live), "unreachable": len(gone)}
    for host in live:
        assert host.done == set(STEPS)
        assert orchestrator.journal(host) == record(host), "no event is lost or doubled"
        assert sum('"event": "changed"' in line for line in record(host)) == len(STEPS), "no step is done twice"
        assert summary["hosts"][host.name]["changed"] == len(STEPS)
    assert not any(host.runs for host in gone)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    audited = run_audit.audit(str(folder), folder.parent, None, (), None)
    assert {name: outcome for name, (outcome, _) in audited.hosts.items()} == {
        name: one["outcome"] for name, one in summary["hosts"].items()
    }
