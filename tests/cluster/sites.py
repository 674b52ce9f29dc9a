"""A site whose hosts are simulated, and run by the workers of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.run import operation
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.view.plain_lines import PlainLines
from tests.cluster.processes import ClusterProcesses
from tests.cluster.served_hosts import ServedHosts
from tests.simulated_fleet import Fleet, Host


class ClusterSite:
    """A fleet of simulated hosts, which the workers of `cluster` reach over `served`."""

    def __init__(self, folder: Path, count: int, served: ServedHosts, cluster: ClusterProcesses) -> None:
        self.folder, self.cluster, self.fleet = folder, cluster, Fleet(folder, count)
        served.fleet = self.fleet
        self.shown: list[str] = []

    def run(self, mode: Mode, *patterns: str, **more: Any) -> dict[str, Result]:
        loaded = self.fleet.inventory()
        options = Options(**{**self.cluster.options(), **more})
        view = PlainLines(lambda line: None, self.shown.append)
        return operation.operate(mode, loaded, loaded.select(patterns or ["all"]), options, None, view)

    @property
    def runs(self) -> Path:
        return self.folder / "nbserver-runs"

    def journal(self, host: str, name: str = "events.jsonl") -> str:
        return (max(path for path in self.runs.iterdir() if path.is_dir()) / host / name).read_text("utf-8")

    def check(self, results: Mapping[str, Result]) -> None:
        """Every host has done everything once, and its journal has each of its events once."""
        assert {result.outcome for result in results.values()} == {"ok"}
        for name, host in self.fleet.hosts.items():
            (sent,) = host.runs.values()
            assert self.journal(name).splitlines() == sent, name


class Hold:
    """Keeps hosts in the middle of an apply until `release`."""

    def __init__(self, last: int = 5) -> None:
        self._last, self._go = last, threading.Event()
        self.held: set[str] = set()

    def __call__(self, host: Host, mode: str, n: int) -> None:
        if mode == "apply" and n > self._last and not self._go.is_set():
            self.held.add(host.name)
            assert self._go.wait(120)

    def release(self) -> None:
        self._go.set()


def environment(folder: Path, patch: pytest.MonkeyPatch, password: str) -> None:
    """What the workstation of a test has. It reaches no host itself."""
    patch.setenv("XDG_STATE_HOME", str(folder / "state"))
    patch.setenv("NOTEBOOK_PASSWORD", password)
    patch.setattr("nbserver.run.evidence_log._write_system_log", lambda text: None)
    patch.setattr("nbserver.transports.connect.connect_to", pytest.fail)
