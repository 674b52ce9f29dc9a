"""`nbserver resume`: which run and which hosts continue, and what is refused before a host is contacted."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ApprovalError, NbserverError, ScriptError, UsageError
from nbserver.base.modes import Mode
from nbserver.cli import program
from nbserver.commands import render as rendering
from nbserver.commands import resume, run_audit
from nbserver.commands.failed_hosts import failed_in
from nbserver.run import evidence_log, host_run, known_certificates, operation, past_files, run_lock
from nbserver.run.batches import Amount, Policy
from nbserver.run.chain import Chain, Written
from nbserver.run.options import Options
from nbserver.run.result import Result, exit_code
from nbserver.view.plain_lines import PlainLines
from tests import simulated_fleet
from tests.formats import validate
from tests.simulated_fleet import STEPS, Fleet, dead, drops_after

FIRST_MUST_SUCCEED = Policy(canary=("lin0001",), max_failures=Amount(0))


class Site:
    """A fleet of four hosts, and runs of it."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Fleet(folder, 4)
        self.runs = folder / "nbserver-runs"

    def run(self, mode: Mode = "apply", **options: Any) -> dict[str, Result]:
        loaded = self.fleet.inventory()
        return operation.operate(mode, loaded, loaded.select(["all"]), Options(**options), None, PlainLines(lambda line: None))

    def resume(self, run: str | None = None, **given: Any) -> dict[str, Result]:
        for host in self.fleet.hosts.values():
            host.connections = 0
        return resume.resume(self.fleet.path, run, None, given, None, PlainLines(lambda line: None))[2]

    def refused(self, kind: type[NbserverError], text: str, run: str | None = None, **given: Any) -> None:
        with pytest.raises(kind, match=text):
            self.resume(run, **given)
        assert not any(host.connections for host in self.fleet.hosts.values()), "no host was contacted"

    def contacted(self) -> set[str]:
        return {name for name, host in self.fleet.hosts.items() if host.connections}

    @property
    def folder(self) -> Path:
        return max(path for path in self.runs.iterdir() if path.is_dir())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "correct horse battery")
    numbers = itertools.count(10)
    monkeypatch.setattr(operation, "new_run_id", lambda: f"20261122T1711{next(numbers)}Z-0a1b2c")
    monkeypatch.setattr("nbserver.run.evidence_log._write_system_log", lambda text: None)
    monkeypatch.setattr(
        "nbserver.run.notebook_password.hash_password", lambda password, salt: "argon2:$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"
    )
    monkeypatch.setattr("nbserver.transports.connect.connect_to", made.fleet.connect_to)
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.0, 0.0))
    return made


def no_home() -> Path:
    raise UsageError("no-home-folder", "this user has no home folder", where="HOME")


@pytest.fixture
def stopped(site: Site) -> Site:
    """An apply of which one host was unreachable, and another one was lost."""
    first, second, *_ = site.fleet.hosts.values()
    first.fault, second.fault = dead, drops_after(4, times=100)
    outcomes = {name: result.outcome for name, result in site.run().items()}
    assert outcomes == {"lin0001": "unreachable", "lin0002": "failed", "lin0003": "ok", "lin0004": "ok"}
    first.fault = second.fault = lambda host, mode, n: None
    return site


def test_only_the_hosts_without_an_outcome_continue(stopped: Site) -> None:
    results = stopped.resume()
    assert stopped.contacted() == {"lin0001", "lin0002"}
    assert {name: (result.outcome, result.changed) for name, result in results.items()} == {
        name: ("ok", len(STEPS)) for name in stopped.fleet.hosts
    }
    for name, host in stopped.fleet.hosts.items():
        assert list(host.runs) == [stopped.folder.name], "one run with one ID"
        assert (stopped.folder / name / "events.jsonl").read_text().splitlines() == host.runs[stopped.folder.name]
    summary = json.loads((stopped.folder / "summary-1.json").read_text())
    validate("summary", summary)
    assert {one["outcome"] for one in summary["hosts"].values()} == {"ok"}
    head = json.loads((stopped.folder / "resumed-1.json").read_text())
    validate("resumed", head)
    assert (head["hosts"], head["adopted"]) == (["lin0001", "lin0002"], [])
    audited = run_audit.audit(str(stopped.folder), stopped.runs, None, (), None)
    assert {outcome for outcome, _ in audited.hosts.values()} == {"ok"} and "Resumed by " in "".join(audited.lines())
    stopped.refused(UsageError, "can be resumed")
    stopped.refused(UsageError, r"the run .* cannot be resumed, because it has finished on every host", stopped.folder.name)


def test_a_failure_that_a_script_reports_is_final(stopped: Site) -> None:
    stopped.resume()
    stopped.run("undo")
    stopped.refused(UsageError, "can be resumed")


def test_a_plan_after_it_does_not_hide_a_run_that_stopped(stopped: Site) -> None:
    run = stopped.folder.name
    stopped.run("test")
    assert stopped.folder.name != run and resume.newest(stopped.runs) == run
    stopped.run("undo")
    with pytest.raises(UsageError, match="can be resumed"):
        resume.newest(stopped.runs)


def test_a_plan_is_repeated_on_hosts_that_were_not_reached(site: Site) -> None:
    site.fleet.hosts["lin0003"].fault = dead
    site.run("test")
    site.fleet.hosts["lin0003"].fault = lambda host, mode, n: None
    assert {result.outcome for result in site.resume().values()} == {"differs"} and site.contacted() == {"lin0003"}


def test_the_canary_of_the_run_comes_first_again(site: Site) -> None:
    canary = site.fleet.hosts["lin0003"]
    canary.fault = dead
    site.run(policy=Policy(canary=("lin0003",), serial=Amount(2)))
    validate("intent", json.loads((site.folder / "intent.json").read_text()))
    assert {name: result.outcome for name, result in site.resume().items() if name != "lin0003"} == dict.fromkeys(
        ("lin0001", "lin0002", "lin0004"), "stopped"
    )
    assert site.contacted() == {"lin0003"}
    canary.fault = lambda host, mode, n: None
    assert {result.outcome for result in site.resume().values()} == {"ok"} and site.contacted() == set(site.fleet.hosts)


def test_max_failures_counts_again(site: Site) -> None:
    site.fleet.hosts["lin0001"].fault = dead
    site.run(policy=Policy(serial=Amount(1), max_failures=Amount(0)))
    assert {result.outcome for result in site.resume().values()} == {"unreachable", "stopped"} and site.contacted() == {"lin0001"}


def test_a_host_that_did_not_get_its_downloads_counts_as_failed(site: Site) -> None:
    why = Result("lin0001")
    why.fail(ScriptError("delivery-unreadable", "could not read the file", host="lin0001"))
    outcomes = {name: result.outcome for name, result in site.run(undelivered={"lin0001": why}, policy=FIRST_MUST_SUCCEED).items()}
    assert outcomes == {"lin0001": "failed", "lin0002": "stopped", "lin0003": "stopped", "lin0004": "stopped"}
    assert site.contacted() == set() and failed_in(site.folder.name, site.runs, site.fleet.path) == list(site.fleet.hosts)
    summary = json.loads((site.folder / "summary.json").read_text())
    validate("summary", summary)
    assert summary["hosts"]["lin0001"]["code"] == "delivery-unreadable" and summary["hosts"]["lin0001"]["changed"] == 0
    assert "lin0001: could not read the file" in (site.folder / "lin0001" / "log.txt").read_text()
    audited = run_audit.audit(str(site.folder), site.runs, None, (), None)
    assert audited.hosts["lin0001"][0] == "failed"
    assert {result.outcome for result in site.resume().values()} == {"ok"} and site.contacted() == set(site.fleet.hosts)


def test_a_batch_begins_after_hosts_that_have_ended_before(site: Site) -> None:
    host = site.fleet.hosts["lin0003"]
    host.fault = dead
    site.run(policy=Policy(serial=Amount(1)))
    host.fault = lambda host, mode, n: None
    assert {result.outcome for result in site.resume().values()} == {"ok"} and site.contacted() == {"lin0003"}


def test_another_script_is_refused_with_the_first_difference(stopped: Site) -> None:
    text = stopped.fleet.path.read_text()
    stopped.fleet.path.write_text(text.replace("[hosts.lin0002]\n", "[hosts.lin0002]\nnotebook.port = 8123\n"))
    stopped.refused(UsageError, r'lin0002: the inventory now renders a different script .*: line \d+ is ".*8123.*" instead of ".*"')
    stopped.fleet.path.write_text(text.replace("[hosts.lin0004]\n", "[hosts.lin0004]\nnotebook.port = 8123\n"))
    stopped.resume()  # what has an outcome is not compared


def test_a_kept_script_that_somebody_changed_is_refused(stopped: Site) -> None:
    path = stopped.folder / "lin0001" / "script.sh"
    path.write_text(path.read_text() + "# more\n")
    stopped.refused(ApprovalError, "was changed after nbserver wrote it")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run.json", "the file is not in the format that nbserver writes"),
        ("intent.json", r"the file does not match its hash on line \d+ of chain\.jsonl"),
        ("lin0003/events.jsonl", "the file is not in the format that nbserver writes"),
        ("lin0002/envelope.txt", r"the file does not match its hash on line \d+ of chain\.jsonl"),
        ("chain.jsonl", "line 2 does not match the previous line: the file was changed"),
    ],
)
def test_a_run_directory_that_somebody_changed_is_refused(stopped: Site, name: str, words: str) -> None:
    path = stopped.folder / name
    data = path.read_bytes()
    path.write_bytes(data[:40] + b"!" + data[41:])
    stopped.refused(ApprovalError, f"{re.escape(str(path))}: {words}")


@pytest.mark.parametrize("name", ["lin0002", "chain.jsonl", "lin0002/events.jsonl", "lin0001/log.txt", "summary.json"])
def test_a_link_is_refused(stopped: Site, tmp_path: Path, name: str) -> None:
    """A copy of a run directory may have one: nothing is read or written through it."""
    path, elsewhere = stopped.folder / name, tmp_path / "elsewhere"
    path.rename(elsewhere)
    if elsewhere.is_file():
        elsewhere.write_bytes(elsewhere.read_bytes() + b"the last line, not to be cut off")
    before = elsewhere.read_bytes() if elsewhere.is_file() else b""
    path.symlink_to(elsewhere)
    stopped.refused(ApprovalError, "link")
    assert not before or elsewhere.read_bytes() == before
    if before:  # a link to what does not exist creates nothing
        elsewhere.unlink()
        stopped.refused(ApprovalError, "link")
        assert not elsewhere.exists()


@pytest.mark.parametrize("name", ["../elsewhere/events.jsonl", "../events.jsonl", "lin0001/more/events.jsonl", "events.jsonl"])
def test_a_chain_names_no_file_elsewhere(stopped: Site, name: str) -> None:
    before = sorted(stopped.folder.parent.rglob("*"))
    written = Chain(stopped.folder).add("2026-11-22T17:11:10.0000000Z", Written(stopped.folder / "x", 1, "0" * 64))
    assert written.n
    path = stopped.folder / "chain.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"file": "x"', f'"file": "{name}"'.encode()))
    with suppress(NbserverError):
        stopped.resume()
    assert set(before) >= set(stopped.folder.parent.rglob("events.jsonl"))
    assert not (stopped.folder.parent / "elsewhere").exists() and not (stopped.folder / "lin0001" / "more").exists()


def test_a_host_with_another_name_is_refused(stopped: Site) -> None:
    text = stopped.fleet.path.read_text()
    stopped.fleet.path.write_text(text.replace("lin0002", "Lin0002").replace("Lin0002.example", "lin0002.example"))
    stopped.refused(UsageError, "Lin0002: the run .* has no host with this name")


def test_hosts_that_have_left_the_inventory_are_reported_and_the_others_continue(stopped: Site, capsys: pytest.CaptureFixture[str]) -> None:
    text = stopped.fleet.path.read_text()
    stopped.fleet.leave("lin0002")
    results = stopped.resume()
    assert stopped.contacted() == {"lin0001"}
    assert {name: result.outcome for name, result in results.items()} == {
        "lin0001": "ok",
        "lin0002": "stopped",
        "lin0003": "ok",
        "lin0004": "ok",
    }
    assert results["lin0002"].changed is None, "its script was sent, and may have changed anything"
    assert results["lin0002"].error == (
        "lin0002: the run was not continued on this host, which is no longer in the inventory. To continue it there, restore the host "
        f"in the inventory and run nbserver resume {stopped.folder.name}"
    )
    assert exit_code(results) == 3
    said = capsys.readouterr().err
    assert "on 1 of 4 hosts" in said and "no longer in the inventory, so the run is not continued on: lin0002" in said
    summary = json.loads((stopped.folder / "summary-1.json").read_text())
    validate("summary", summary)
    assert summary["hosts"]["lin0002"]["code"] == "resumed-host-gone"
    assert json.loads((stopped.folder / "resumed-1.json").read_text())["hosts"] == ["lin0001"]
    assert run_audit.audit(str(stopped.folder), stopped.runs, None, (), None).hosts["lin0002"][0] == "stopped"
    stopped.refused(UsageError, r"are no longer in the inventory: lin0002\. Restore these hosts", stopped.folder.name)
    stopped.fleet.path.write_text(text)
    assert {result.outcome for result in stopped.resume().values()} == {"ok"} and stopped.contacted() == {"lin0002"}


def test_a_group_is_not_taken_for_a_host_that_has_left(stopped: Site) -> None:
    stopped.fleet.leave("lin0002")
    text = stopped.fleet.path.read_text()
    stopped.fleet.path.write_text(text.replace("[groups.all]", '[groups.lin0002]\nhosts = ["lin0004"]\n[groups.all]'))
    assert stopped.resume()["lin0002"].outcome == "stopped" and stopped.contacted() == {"lin0001"}


@pytest.mark.parametrize(("gone", "others"), [("lin0001", "stopped"), ("lin0002", "ok")])
def test_a_canary_that_has_left_has_not_succeeded_and_another_host_counts_as_nothing(site: Site, gone: str, others: str) -> None:
    for name in ("lin0001", gone):
        site.fleet.hosts[name].fault = dead
    site.run(policy=replace(FIRST_MUST_SUCCEED, serial=Amount(1)))
    for name in ("lin0001", gone):
        site.fleet.hosts[name].fault = lambda host, mode, n: None
    site.fleet.leave(gone)
    results = site.resume()
    assert {name: result.outcome for name, result in results.items() if name not in (gone, "lin0001")} == dict.fromkeys(
        {"lin0002", "lin0003", "lin0004"} - {gone}, others
    )


def test_runs_in_a_folder_that_cannot_exist(stopped: Site) -> None:
    for run in (None, stopped.folder.name):
        with pytest.raises(UsageError):
            resume.resume(stopped.fleet.path, run, Path("x" * 300), {}, None, PlainLines(lambda line: None))


def test_the_approval_is_checked_again(site: Site, tmp_path: Path) -> None:
    approved = tmp_path / "approved"
    rendering.write(rendering.files(site.fleet.inventory().select(["all"])), approved)
    site.fleet.hosts["lin0001"].fault = dead
    site.run(approved=approved / "manifest.json")
    site.fleet.hosts["lin0001"].fault = lambda host, mode, n: None
    manifest = (approved / "manifest.json").read_text()
    found = json.loads(manifest)
    del found["hosts"]["lin0001"]
    (approved / "manifest.json").write_text(json.dumps(found))
    site.refused(ApprovalError, f"{re.escape(str(approved / 'manifest.json'))}: lin0001 is not in the approved manifest")
    (approved / "manifest.json").write_text(manifest)
    site.resume()
    assert json.loads((site.folder / "resumed-1.json").read_text())["approved"] and (site.folder / "approval-1" / "manifest.json").exists()


def test_another_salt_is_refused(stopped: Site) -> None:
    (stopped.fleet.path.parent / "nbserver.salt").write_text("nbserver-salt-1 AAECAwQFBgcICQoLDA0ODw==\n")
    stopped.refused(UsageError, "nbserver.salt has changed since")


def test_a_password_that_is_stored_nowhere_is_not_replaced(site: Site) -> None:
    site.fleet.hosts["lin0001"].fault = dead
    site.run(passwords={"lin0001": "staple battery horse"})
    site.refused(UsageError, "lin0001: the notebook password was entered or generated")


def test_what_is_no_run_that_can_be_resumed(site: Site) -> None:
    site.refused(UsageError, "there are no runs in ")
    site.refused(UsageError, "is not a run ID", "../x")
    site.refused(UsageError, "there is no run run-1", "run-1")
    site.run()
    head = json.loads((site.folder / "run.json").read_text())
    for name, mode in (("run-1", "rotate"), ("run-2", "apply")):
        folder = site.runs / name
        folder.mkdir(0o700)
        (folder / "run.json").write_text(json.dumps({**head, "run": name, "mode": mode}))
    site.refused(UsageError, "it is a rotate run", "run-1")
    site.refused(UsageError, "it stopped before it contacted a host", "run-2")
    with ExitStack() as stack:
        run_lock.hold(site.folder, stack)
        site.refused(UsageError, "is still in progress", site.folder.name)


def test_a_copy_without_files_that_came_later_continues(stopped: Site, tmp_path: Path) -> None:
    """A copy of a directory that grows: some files are older than others, and some are missing."""
    copy = tmp_path / "copy" / stopped.folder.name
    shutil.copytree(stopped.folder, copy)
    for name in ("lin0001", "lin0002/script.sh", "lin0003/envelope.txt", "summary.json"):
        shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
    events = (copy / "lin0004" / "events.jsonl").read_bytes()
    (copy / "lin0004" / "events.jsonl").write_bytes(events[:-30])
    with (copy / "chain.jsonl").open("ab") as file:
        file.write(b'{"v": 1, "n"')
    for host in stopped.fleet.hosts.values():
        host.connections = 0
    results = resume.resume(stopped.fleet.path, copy.name, copy.parent, {}, None, PlainLines(lambda line: None))[2]
    assert {name: (result.outcome, result.error) for name, result in results.items()} == dict.fromkeys(results, ("ok", ""))
    assert stopped.contacted() == {"lin0001", "lin0002", "lin0004"}
    assert (copy / "lin0004" / "events.jsonl").read_bytes() == events
    assert past_files.summary(copy) is not None


def test_a_line_of_another_program_in_the_log_of_runs_stops_nothing(stopped: Site) -> None:
    """audit --run refuses such a log."""
    log = evidence_log.default_path()
    log.write_bytes(b"not a line of this log\n" + log.read_bytes() + b'{"v": 2}\n')
    results = stopped.resume()
    assert {result.outcome for result in results.values()} == {"ok"}
    with pytest.raises(ApprovalError, match="line 1 was not written by nbserver"):
        evidence_log.read(log, stopped.folder.name)
    assert evidence_log.read_own(stopped.folder.name)


def test_a_user_without_a_log_of_runs_can_resume(stopped: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, a user may have no home folder. An apply only warns, too."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("nbserver.run.evidence_log.home", lambda: Path("missing\0folder"))
    assert evidence_log.read_own(stopped.folder.name) == []
    monkeypatch.setattr("nbserver.run.evidence_log.home", no_home)
    assert {result.outcome for result in stopped.resume().values()} == {"ok"}


def test_the_command(stopped: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code = program.cli.main(["resume", "-i", str(stopped.fleet.path), "--json"], standalone_mode=False)
    shown = capsys.readouterr()
    summary = json.loads(shown.out.splitlines()[-1])
    assert code == 0 and len(summary["hosts"]) == 4 and f"Resuming {stopped.folder.name}: apply on 2 of 4 hosts" in shown.err


def test_a_certificate_that_a_later_run_has_replaced_is_no_surprise(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results of hosts that had finished before are those of then."""
    shown = {"fingerprint": "SHA256:" + "b2" * 32}
    event = simulated_fleet._event
    monkeypatch.setattr(
        simulated_fleet, "_event", lambda *given, **data: event(*given, **{**data, **(shown if "fingerprint" in data else {})})
    )
    first, *others = site.fleet.hosts.values()
    for host in others:
        host.done.add("certificate")
    first.fault = dead
    site.run()
    first.fault = lambda host, mode, n: None
    known = site.fleet.path.parent / "nbserver.known"
    known_certificates.remember(known, {"lin0003": "SHA256:" + "c3" * 32}, "20991122T171100Z-0a1b2c")
    capsys.readouterr()
    assert site.resume()["lin0003"].steps["certificate"] == "unchanged"
    assert "did not replace the certificate" not in capsys.readouterr().err
    assert known_certificates.fingerprints(known)["lin0003"].endswith("c3")
