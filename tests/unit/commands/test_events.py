"""The rest of a run's events, and the events of a run of another workstation."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ApprovalError, ConnectError, UsageError
from nbserver.commands.events import events
from nbserver.inventory import reader
from nbserver.run import chain_check, evidence_log, run_lock
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.view.json_lines import JsonLines
from nbserver.view.plain_lines import PlainLines
from tests.formats import validate
from tests.unit.run.test_host_run import LOST, Told, ended, event

INVENTORY = """
[hosts.win1]
system = "windows"
address = "192.0.2.1"
notebook.password = { prompt = true }
"""


class Site:
    """One host, whose connections say one after another what `says` has; the envelopes that it was sent."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "nbserver.toml").write_text(INVENTORY)
        self.inventory = reader.load(folder / "nbserver.toml")
        self.host, self.says, self.shown = Told(), self.host_says, []
        monkeypatch.setattr("nbserver.transports.connect.connect_to", lambda *given: self.host)
        monkeypatch.setattr("nbserver.run.host_job._password", lambda *given: None)
        monkeypatch.setattr("nbserver.run.host_job._needs", lambda *given: [])
        monkeypatch.setattr("nbserver.run.host_run.REJOIN_PAUSES", (0.0,))

    def host_says(self, *connections: Any) -> None:
        self.host = Told(*connections)

    def events(self, run: str) -> int:
        return events(self.inventory, run, self.inventory.select(["win1"])[0], None, None, PlainLines(self.shown.append))

    def started(self, run: str, sha256: str) -> dict[str, Any]:
        more = {"mode": "apply", "operator": "anna@desk", "release": "0.2.0", "host": "web", "script_sha256": sha256}
        return event(1, "started", run=run, **more)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_the_rest_of_a_run_of_this_workstation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbserver.run.operation.new_run_id", lambda: "run-1")
    head = {"run": "run-1", "mode": "apply", "operator": "me", "release": "0.3.0", "host": "win1"}

    class First(Told):
        def run(self, script: str, envelope: Any) -> Any:
            from hashlib import sha256

            started = event(1, "started", **head, script_sha256=sha256(script.encode()).hexdigest())
            self.connections = [[started, LOST] if envelope[0] == "mode apply" else [LOST]]
            return super().run(script, envelope)

    site.host = First()
    result = operate("apply", site.inventory, site.inventory.select(["win1"]), Options(), None, PlainLines(site.shown.append))["win1"]
    assert result.changed is None
    summary = json.loads((site.folder / "nbserver-runs" / "run-1" / "summary.json").read_text())
    validate("summary", summary)
    assert any("number of changes unknown" in line for line in site.shown)

    site.says([event(2, "changed", "path"), LOST], [ended(3, "ok", changed=1)])
    assert site.events("run-1") == 0
    assert [lines[:3] for lines in site.host.envelopes] == [["mode events", "run run-1", f"after {n}"] for n in (1, 2)]
    folder = site.folder / "nbserver-runs" / "run-1" / "win1"
    assert [json.loads(line)["n"] for line in (folder / "events.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert any("the run has finished, 1 changed" in line for line in site.shown)

    log = evidence_log.read(evidence_log.default_path(), "run-1")
    checked = chain_check.check(folder.parent, [entry.head for entry in log[-3:]])
    assert [link.file for link in checked.links].count("win1/events.jsonl") == 2

    site.says()
    assert site.events("run-1") == 0 and not site.host.envelopes, "the host is not asked for what is complete"


def test_only_the_process_of_a_run_writes_its_directory_while_the_run_is_in_progress(site: Site) -> None:
    folder = site.folder / "nbserver-runs" / "run-9" / "win1"
    folder.mkdir(0o700, parents=True)
    first, *rest = site.started("run-9", "5" * 64), event(2, "changed", "path"), ended(3, "ok", changed=1)
    (folder / "events.jsonl").write_text(f"{json.dumps(first)}\n")
    with ExitStack() as stack:
        run_lock.hold(folder.parent, stack)
        site.says(rest)
        assert site.events("run-9") == 0 and "after 1" in site.host.envelopes[0]
    assert [path.name for path in folder.iterdir()] == ["events.jsonl"]
    assert (folder / "events.jsonl").read_text() == f"{json.dumps(first)}\n"


@pytest.mark.parametrize("run", ["run-9", "run-9-2"])
@pytest.mark.parametrize("known", [0, 1])
def test_the_rest_of_a_run_in_which_windows_restarted(site: Site, run: str, known: int) -> None:
    """After the restart, it continues on the host under another ID, which is that of the last envelope."""
    folder = site.folder / "nbserver-runs" / "run-9" / "win1"
    folder.mkdir(0o700, parents=True)
    restarts = event(2, "finished", outcome="reboot", changed=1, differs=False, reboot=True, fingerprint="", restarting=True)
    before = [site.started("run-9", "5" * 64), restarts]
    after = [site.started("run-9-2", "5" * 64), event(2, "changed", "path"), ended(3, "ok", changed=2)]
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in [*before, *after[:known]]))
    (folder / "envelope.txt").write_text("mode apply\nrun run-9\n")
    (folder / "envelope-2.txt").write_text("mode apply\nrun run-9-2\n")
    site.says(after[known:])
    assert site.events(run) == 0
    assert site.host.envelopes[0][:3] == ["mode events", "run run-9-2", f"after {known}"]
    assert [json.loads(line)["n"] for line in (folder / "events.jsonl").read_text().splitlines()] == [1, 2, 1, 2, 3]
    site.says()
    assert site.events(run) == 0 and not site.host.envelopes, "the host is not asked for what is complete"
    assert not (site.folder / "nbserver-runs" / "run-9-2").exists()


def test_the_first_part_of_a_run_is_not_added_after_the_second(site: Site) -> None:
    folder = site.folder / "nbserver-runs" / "run-9" / "win1"
    folder.mkdir(0o700, parents=True)
    kept = "".join(f"{json.dumps(line)}\n" for line in (site.started("run-9-r1", "5" * 64), ended(2, "ok", changed=0)))
    (folder / "events.jsonl").write_text(kept)
    (folder / "envelope.txt").write_text("mode apply\nrun run-9-r1\n")
    site.says([site.started("run-9-2", "5" * 64), ended(2, "ok", changed=1)])
    assert site.events("run-9-2") == 0 and (folder / "events.jsonl").read_text() == kept


def test_a_line_that_was_cut_off_is_fetched_again(site: Site) -> None:
    """It may be complete but for its line end."""
    folder = site.folder / "nbserver-runs" / "run-9" / "win1"
    folder.mkdir(0o700, parents=True)
    lines = [json.dumps(line) for line in (site.started("run-9", "5" * 64), event(2, "changed", "path"), ended(3, "ok", changed=1))]
    (folder / "events.jsonl").write_text("\n".join(lines[:2]))
    site.says(lines[1:])
    assert site.events("run-9") == 0 and "after 1" in site.host.envelopes[0]
    assert (folder / "events.jsonl").read_text() == "\n".join([*lines, ""])


def test_a_run_of_another_workstation(site: Site) -> None:
    """Its script may be of another release; nothing of it is kept here."""
    site.says([site.started("run-9", "5" * 64), event(2, "changed", "path"), ended(3, "failed", changed=1)])
    assert site.events("run-9") == 3
    assert any("path" in line and "changed" in line for line in site.shown) and not (site.folder / "nbserver-runs").exists()


def test_a_program_gets_the_end_of_the_host_and_then_the_summary(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.says([site.started("run-9", "5" * 64), ended(2, "ok", changed=1)])
    assert events(site.inventory, "run-9", site.inventory.select(["win1"])[0], None, None, JsonLines()) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in said] == ["started", "finished", "ended", "summary"]
    assert (said[2]["host"], said[2]["outcome"], said[2]["changed"]) == ("win1", "ok", 1)
    validate("stream", said[2])


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([], "the host has no events for run run-9"),
        ([event(1, "changed", "path"), ended(2, "ok")], "the host ran a different script"),
        ([ConnectError("winrm-no-answer", "win1 did not answer", host="win1")], "win1 did not answer"),
    ],
)
def test_what_is_no_end_of_a_run_fails(site: Site, said: list[Any], error: str) -> None:
    site.says(said, said)
    assert site.events("run-9") == 3 and error in "".join(site.shown)
    site.says([site.started("run-8", "5" * 64)], [])
    assert site.events("run-9") == 3 and "the events belong to a different run" in "".join(site.shown)
    site.says([site.started("run-9", "5" * 64)])
    assert site.events("run-9") == 3 and "stopped without reporting a result" in "".join(site.shown)


def test_a_run_id_is_no_path_and_no_pattern(site: Site) -> None:
    for run in ("../x", "run 1", "", "a" * 65):
        with pytest.raises(UsageError, match="is not a run ID"):
            site.events(run)


@pytest.mark.skipif(os.name == "nt", reason="needs mode bits and FIFOs")
def test_a_run_directory_that_others_may_write_is_refused_and_nothing_is_contacted(site: Site) -> None:
    runs = site.folder / "nbserver-runs"
    (runs / "run-1" / "win1").mkdir(0o700, parents=True)
    for folder in (runs / "run-1" / "win1", runs / "run-1", runs):
        folder.chmod(0o777)
        with pytest.raises(ApprovalError, match="every user can write to this path or to the folder that contains it") as raised:
            site.events("run-1")
        assert raised.value.exit_code == 5
        folder.chmod(0o700)
    for name in ("events.jsonl", "script.sha256"):
        os.mkfifo(runs / "run-1" / "win1" / name)
        with pytest.raises(ApprovalError, match=f"{name}: must be a regular file"):
            site.events("run-1")
        (runs / "run-1" / "win1" / name).unlink()
    assert not site.host.envelopes


@pytest.mark.skipif(os.name == "nt", reason="needs mode bits")
def test_no_run_begins_in_a_folder_in_which_everybody_may_replace_it(site: Site) -> None:
    runs = site.folder / "nbserver-runs"
    runs.mkdir()
    runs.chmod(0o777)
    with pytest.raises(ApprovalError, match=r"every user can write to this path .* Choose another folder with --runs") as raised:
        operate("apply", site.inventory, site.inventory.select(["win1"]), Options(), None, PlainLines(site.shown.append))
    assert raised.value.exit_code == 5 and not list(runs.iterdir()) and not site.host.envelopes
