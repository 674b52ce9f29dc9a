"""Fleets in which some hosts are dead, some lose their connection, and sometimes all fail at once. The hosts are simulated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.commands import run_audit
from nbserver.run import host_run, operation
from nbserver.run.options import Options
from nbserver.run.result import Result, exit_code
from nbserver.view.plain_lines import PlainLines
from tests.cluster.processes import ClusterProcesses
from tests.cluster.served_hosts import ServedHosts
from tests.formats import validate
from tests.simulated_fleet import STEPS, Fleet, Host, dead, drops_after
from tests.tier import FULL

SIZES = {"local": 1000 if FULL else 200, "dask": 200 if FULL else 40}


class Site:
    """A fleet and what was shown of its runs. `options` are those of its engine."""

    def __init__(self, folder: Path, count: int, options: dict[str, Any]) -> None:
        self.fleet, self.options = Fleet(folder, count), options
        self.shown: list[str] = []

    def run(self, mode: Mode, *patterns: str) -> dict[str, Result]:
        loaded = self.fleet.inventory()
        self.shown.clear()
        view = PlainLines(lambda line: None, self.shown.append)
        return operation.operate(mode, loaded, loaded.select(patterns or ["all"]), Options(**{"forks": 50, **self.options}), None, view)

    def folder(self) -> Path:
        return max((self.fleet.path.parent / "nbserver-runs").iterdir())

    def journal(self, host: str) -> list[str]:
        return (self.folder() / host / "events.jsonl").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedHosts, ClusterProcesses]]:
    """A cluster of two workers, and the hosts that they reach."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    hosts = ServedHosts(folder)
    cluster = ClusterProcesses(folder / "processes", hosts.path)
    try:
        yield hosts, cluster.with_workers("", "")
    finally:
        cluster.close()
        hosts.close()


@pytest.fixture(params=["local", "dask"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path, SIZES[request.param], {})
    if request.param == "dask":
        hosts, cluster = request.getfixturevalue("served")
        hosts.fleet, made.options = made.fleet, cluster.options()
        monkeypatch.setattr("nbserver.transports.connect.connect_to", pytest.fail)
    else:
        monkeypatch.setattr("nbserver.transports.connect.connect_to", made.fleet.connect_to)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "correct horse battery")
    monkeypatch.setattr("nbserver.run.evidence_log._write_system_log", lambda text: None)
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.0, 0.0))
    return made


def test_dead_hosts_and_lost_connections_leave_the_others_and_the_numbers_alone(site: Site) -> None:
    hosts = list(site.fleet.hosts.values())
    count, share = len(hosts), len(hosts) // 20
    gone, cut = hosts[::20], hosts[7::20]
    for host in gone:
        host.fault = dead
    for number, host in enumerate(cut):
        host.fault = drops_after(1 + number % 20, times=1 + number % 3)
    assert len(gone) == len(cut) == share

    results = site.run("apply")
    outcomes = Counter(result.outcome for result in results.values())
    assert outcomes == {"ok": count - share, "unreachable": share} and exit_code(results) == 3
    for host in hosts:
        if host in gone:
            assert not host.done and not host.runs and not (site.folder() / host.name / "events.jsonl").read_bytes()
        else:
            assert host.done == set(STEPS) and results[host.name].changed == len(STEPS)
            assert site.journal(host.name) == next(iter(host.runs.values())), "no event is lost or doubled"
    assert sum(result.changed or 0 for result in results.values()) == len(STEPS) * (count - share)
    summary = json.loads((site.folder() / "summary.json").read_text("ascii"))
    validate("summary", summary)
    assert {name: host["outcome"] for name, host in summary["hosts"].items()} == {name: result.outcome for name, result in results.items()}
    audited = run_audit.audit(str(site.folder()), site.folder().parent, None, (), None)
    assert {name: outcome for name, (outcome, _) in audited.hosts.items()} == {name: result.outcome for name, result in results.items()}

    for host in hosts:
        host.fault = lambda host, mode, n: None
    again = site.run("apply")
    assert Counter(result.outcome for result in again.values()) == {"ok": count}
    assert {name for name, result in again.items() if result.changed} == {host.name for host in gone}


def test_a_connection_that_is_lost_at_every_attempt_fails_only_its_host(site: Site) -> None:
    host = site.fleet.hosts["lin0003"]
    host.fault = drops_after(4, times=100)
    results = site.run("apply", "lin000*")
    assert results["lin0003"].outcome == "failed" and results["lin0003"].changed is None
    assert site.journal("lin0003") == next(iter(host.runs.values()))[:4] and host.done == set(STEPS)
    assert Counter(result.outcome for result in results.values()) == {"ok": len(results) - 1, "failed": 1}


def test_all_hosts_fail_at_once(site: Site) -> None:
    for host in site.fleet.hosts.values():
        host.fault = dead
    results = site.run("test")
    assert {result.outcome for result in results.values()} == {"unreachable"} and {result.error_kind for result in results.values()} == {
        "refused"
    }
    assert len(json.loads((site.folder() / "summary.json").read_text("ascii"))["hosts"]) == len(results)
    assert all((site.folder() / name / "log.txt").read_text("utf-8").count("refused the connection") == 1 for name in results)


def test_two_orchestrators_of_one_fleet(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenSSL derives one hash at a time in a process, and two orchestrators are two processes.
    monkeypatch.setattr(
        "nbserver.run.notebook_password.hash_password", lambda password, salt: "argon2:$argon2id$v=19$m=65536$c2FsdA$aGFzaA"
    )
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: site.run("apply", "lin00[0-4]*"), range(2)))
    for name in found[0]:
        assert sorted((results[name].outcome, results[name].changed) for results in found) == [("ok", 0), ("ok", len(STEPS))]
        folders = {results[name].folder for results in found}
        kept = {folder.parent.name: (folder / "events.jsonl").read_text("utf-8").splitlines() for folder in folders if folder}
        assert kept == site.fleet.hosts[name].runs, "each journal has the events of its own run"
    assert len(site.fleet.hosts["lin0001"].runs) == 2


def test_an_exception_in_one_hosts_transport_is_that_hosts_result(site: Site) -> None:
    def breaks(host: Host, mode: str, n: int) -> None:
        raise ZeroDivisionError("a bug in a library")

    site.fleet.hosts["lin0002"].fault = breaks
    results = site.run("apply", "lin000*")
    assert results["lin0002"].outcome == "failed" and results["lin0002"].error_kind == "internal" and exit_code(results) == 1
    assert {result.outcome for name, result in results.items() if name != "lin0002"} == {"ok"}
