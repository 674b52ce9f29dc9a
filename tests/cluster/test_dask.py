"""Runs on a cluster: what is refused, where secrets are, and what happens when a worker, the scheduler, or the operator stops."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ClusterError, NbserverError
from nbserver.commands import resume, run_audit
from nbserver.run import site_salt
from nbserver.run.cluster import ticket
from nbserver.run.notebook_password import hash_password
from nbserver.run.result import exit_code
from nbserver.view.plain_lines import PlainLines
from tests.checkout import PYTHON_PATH
from tests.cluster.certificates import Certificates
from tests.cluster.processes import ClusterProcesses
from tests.cluster.served_hosts import ServedHosts
from tests.cluster.sites import ClusterSite, Hold, environment
from tests.simulated_fleet import STEPS, Host
from tests.waiting import wait_until

pytest.importorskip("distributed")
PASSWORD = "Canary-Notebook-Tr0ub4dor"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHosts]:
    hosts = ServedHosts(tmp_path_factory.mktemp("hosts"))
    yield hosts
    hosts.close()


@pytest.fixture(scope="module")
def lasting(served: ServedHosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    """A cluster whose processes no test kills: two workers, of which one has the resource paris."""
    made = ClusterProcesses(tmp_path_factory.mktemp("cluster") / "processes", served.path)
    try:
        yield made.with_workers("paris=50", "")
    finally:
        made.close()


@pytest.fixture
def site(served: ServedHosts, lasting: ClusterProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterSite:
    environment(tmp_path, monkeypatch, PASSWORD)
    return ClusterSite(tmp_path, 6, served, lasting)


@pytest.fixture
def mortal(served: ServedHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterSite]:
    """A site with a cluster of its own, whose processes may be killed."""
    environment(tmp_path, monkeypatch, PASSWORD)
    cluster = ClusterProcesses(tmp_path / "processes", served.path)
    try:
        yield ClusterSite(tmp_path, 8, served, cluster.with_workers("", ""))
    finally:
        cluster.close()


def client_of(site: ClusterSite) -> Any:
    """Somebody who may look at everything in the cluster."""
    from distributed import Client
    from distributed.security import Security

    files = {name: str(path) for name, path in site.cluster.options().items()}
    names = {"tls_ca_file": "scheduler_ca", "tls_client_cert": "scheduler_cert", "tls_client_key": "scheduler_key"}
    security = Security(require_encryption=True, **{ours: files[name] for ours, name in names.items()})
    return Client(site.cluster.address, security=security, set_as_default=False)


def refusal(site: ClusterSite, **options: Any) -> str:
    """The code of the error. No host has been contacted, and there is no run directory."""
    with pytest.raises(NbserverError) as caught:
        site.run("apply", **options)
    assert not any(host.connections for host in site.fleet.hosts.values()) and not site.runs.exists()
    assert caught.value.todo and PASSWORD not in str(caught.value)
    return caught.value.code


def test_what_is_refused_before_any_host_is_contacted(site: ClusterSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(site, scheduler=site.cluster.address.replace("tls:", "tcp:")) == "scheduler-not-encrypted"
    other = Certificates(tmp_path / "other")
    files = {"scheduler_cert": other.folder / "client.pem", "scheduler_key": other.folder / "client.key"}
    assert refusal(site, **files) == "scheduler-not-reached"
    assert refusal(site, scheduler_ca=tmp_path / "missing.pem") == "scheduler-not-reached"
    assert refusal(site, place=("all=berlin",)) == "no-worker-at-place"
    assert refusal(site, transfers={"lin0001": None}) == "engine-copies-no-files"
    monkeypatch.setattr(ticket, "release", lambda: "0.0.1 (of a test)")
    assert refusal(site) == "worker-of-other-release"


def test_a_worker_without_a_certificate_of_a_worker_gets_nothing(site: ClusterSite) -> None:
    intruder = site.cluster.start_worker(certificate="scheduler")
    try:
        intruder.wait_for(re.compile("Registered to:"))
        assert refusal(site) == "worker-certificate-refused"
    finally:
        intruder.kill()
    with client_of(site) as client:
        assert wait_until(lambda: len(client.scheduler_info()["workers"]) == 2)


def test_hosts_of_a_place_run_there(site: ClusterSite) -> None:
    results = site.run("apply", place=("lin000[1-3]=paris",))
    site.check(results)
    with client_of(site) as client:
        assert "sealed" not in repr(client.get_events()), "the scheduler forgets what it has passed on"
    workers = {name: re.findall(r"at (\S+) runs this host", site.journal(name, "log.txt")) for name in results}
    assert len({address for name in ("lin0001", "lin0002", "lin0003") for address in workers[name]}) == 1
    assert all(len(found) == 1 for found in workers.values())


def test_the_scheduler_never_has_a_secret(site: ClusterSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain password, its hash, and the names of secrets are searched in everything that the cluster has, shows, and writes."""

    def breaks(host: Host, mode: str, n: int) -> None:
        raise ZeroDivisionError(f"a bug in a library, with {PASSWORD} in its text")

    kept: list[Any] = []
    monkeypatch.setattr("nbserver.run.cluster.cluster.Cluster.forget", lambda self, call, future: kept.append(future))
    monkeypatch.setattr("nbserver.run.cluster.cluster.Cluster.end", lambda self: None)
    site.fleet.hosts["lin0002"].fault = breaks
    results = site.run("apply")
    assert results["lin0002"].outcome == "failed" and results["lin0002"].error_kind == "internal"
    salted = next(iter(re.findall(r"argon2\S+", str([host.runs for host in site.fleet.hosts.values()]))), "")
    assert not salted and all(PASSWORD not in text for text in (site.journal("lin0002", "log.txt"), str(results), *site.shown))
    with client_of(site) as client:
        client.dump_cluster_state(str(tmp_path / "state"), write_from_scheduler=False, format="yaml")
        dump = (tmp_path / "state.yaml").read_text()
        events = repr(client.get_events())
        shown = repr(
            (client.scheduler_info(), client.get_scheduler_logs(), client.get_worker_logs(), client.story(*[one.key for one in kept]))
        )
    salt = site_salt.of_site(site.folder, None, create=False)
    hashed = hash_password(PASSWORD, salt).rpartition("$")[2]
    if sys.platform == "linux":
        run = max(path.name for path in site.runs.iterdir() if path.is_dir())
        searched = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode().rstrip("="), hashed, run]
        assert site.cluster.scheduler.has_in_memory(*(text.encode() for text in searched)) == [run.encode()]
    assert "lin0001" in dump and "sealed" in events
    for text in (dump, events, shown, site.cluster.logs()):
        for secret in (PASSWORD, hashed, "argon2", "notebook.password_hash", "ZeroDivisionError"):
            assert secret not in text


def test_a_worker_that_is_killed_leaves_its_hosts_to_another_one(mortal: ClusterSite) -> None:
    hold = Hold()
    for host in mortal.fleet.hosts.values():
        host.fault = hold
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(mortal.run, "apply")
        assert wait_until(lambda: len(hold.held) == 8)
        mortal.cluster.workers[0].kill()
        hold.release()
        results = running.result()
    mortal.check(results)
    joined = [name for name in results if "another worker continues the run" in mortal.journal(name, "log.txt")]
    assert len(joined) == 4 and exit_code(results) == 0
    assert {result.changed for result in results.values()} == {len(STEPS)}
    audited = run_audit.audit(str(max(mortal.runs.glob("2*[0-9a-f]"))), mortal.runs, None, (), None)
    assert {outcome for outcome, _ in audited.hosts.values()} == {"ok"}


def test_a_scheduler_that_is_killed_ends_the_run_and_resume_continues_it(mortal: ClusterSite, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Hold()
    for name, host in mortal.fleet.hosts.items():
        if name != "lin0001":
            host.fault = hold
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(mortal.run, "apply")
        assert wait_until(lambda: len(hold.held) == 7 and "finished" in mortal.journal("lin0001"))
        mortal.cluster.scheduler.kill()
        results = running.result()
    hold.release()
    assert results["lin0001"].outcome == "ok" and exit_code(results) == 3
    lost = {name: result for name, result in results.items() if name != "lin0001"}
    assert {(result.detail["code"], result.changed) for result in lost.values()} == {("scheduler-lost", None)}

    monkeypatch.setattr("nbserver.transports.connect.connect_to", mortal.fleet.connect_to)
    _, hosts, results = resume.resume(mortal.fleet.path, None, None, {"engine": "local"}, None, PlainLines(lambda line: None))
    assert len(hosts) == 7
    mortal.check(results)


def test_nbserver_is_killed_and_resume_continues_on_the_same_cluster(site: ClusterSite) -> None:
    hold = Hold()
    for host in site.fleet.hosts.values():
        host.fault = hold
    options = [f"--{name.replace('_', '-')}={value}" for name, value in site.cluster.options().items()]
    command = [sys.executable, "-m", "nbserver", "apply", "all", "-i", str(site.fleet.path), *options]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PYTHON_PATH}, stdout=subprocess.DEVNULL) as process:
        assert wait_until(lambda: len(hold.held) == 6)
        process.kill()
    hold.release()
    _, hosts, results = resume.resume(site.fleet.path, None, None, {}, None, PlainLines(lambda line: None))
    assert len(hosts) == 6
    site.check(results)


def test_ctrl_c_stops_the_scripts_on_the_workers(site: ClusterSite) -> None:
    hold = Hold()
    for host in site.fleet.hosts.values():
        host.fault = hold

    def interrupt() -> None:
        if wait_until(lambda: len(hold.held) == 6):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        results = site.run("apply")
    finally:
        thread.join()
        hold.release()
    assert {result.outcome for result in results.values()} == {"stopped"} and exit_code(results) == 3


def test_approvals_are_checked_on_the_worker_too(site: ClusterSite, tmp_path: Path) -> None:
    rules = tmp_path / "site.toml"
    rules.write_text("require_approval = true\n")
    strict = ClusterProcesses(tmp_path / "strict", site.cluster.hosts, {"NBSERVER_SITE": str(rules)})
    try:
        strict.with_workers("")
        site.cluster = strict
        results = site.run("apply", "lin0001")
    finally:
        strict.close()
    assert results["lin0001"].detail["code"] == "approval-required" and exit_code(results) == 5
    assert not site.fleet.hosts["lin0001"].connections


def test_no_workers(site: ClusterSite, tmp_path: Path) -> None:
    empty = ClusterProcesses(tmp_path / "empty")
    try:
        site.cluster = empty
        with pytest.raises(ClusterError, match="no workers"):
            site.run("apply")
    finally:
        empty.close()
