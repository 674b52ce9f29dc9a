"""Three workers in network namespaces: one is killed in the middle of an apply, and one is cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbserver.commands import run_audit
from nbserver.run.result import exit_code
from tests.cluster.namespaces import Network, missing
from tests.cluster.processes import ClusterProcesses
from tests.cluster.served_hosts import ServedHosts
from tests.cluster.sites import ClusterSite, Hold, environment
from tests.simulated_fleet import STEPS
from tests.waiting import wait_until

pytest.importorskip("distributed")
# How soon a scheduler notices that a machine is gone: otherwise after 30 seconds.
QUICK = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}


@pytest.fixture
def network() -> Iterator[Network]:
    if words := missing():
        pytest.skip(words)
    made = Network()
    yield made
    made.close()


@pytest.mark.second_tier("a worker that is killed is in the first one")
def test_a_worker_is_killed_and_another_one_is_cut_off(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(tmp_path, monkeypatch, "Canary-Notebook-Tr0ub4dor")
    served = ServedHosts(tmp_path)
    machines = [network.member() for _ in range(4)]
    cluster = ClusterProcesses(tmp_path / "processes", served.path, QUICK, machines=machines)
    try:
        site = ClusterSite(tmp_path, 12, served, cluster.with_workers("", "", ""))
        hold = Hold()
        for host in site.fleet.hosts.values():
            host.fault = hold
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(site.run, "apply")
            assert wait_until(lambda: len(hold.held) == 12)
            cluster.workers[0].kill()
            network.cut(machines[2][0])
            hold.release()
            results = running.result()
        site.check(results)
        network.cut(machines[2][0], off=False)
        cluster.workers[1].wait_for(re.compile("Stopping worker|Connection to scheduler broken|heartbeat"))
        site.check(results)
    finally:
        cluster.close()
        served.close()
    assert exit_code(results) == 0 and {result.changed for result in results.values()} == {len(STEPS)}
    joined = [name for name in results if "another worker continues the run" in site.journal(name, "log.txt")]
    assert len(joined) == 8
    audited = run_audit.audit(str(max(site.runs.glob("2*[0-9a-f]"))), site.runs, None, (), None)
    assert {outcome for outcome, _ in audited.hosts.values()} == {"ok"}
