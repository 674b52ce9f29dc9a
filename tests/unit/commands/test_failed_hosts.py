"""--failed-from: only the hosts that did not succeed in an earlier run."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from nbserver.base.errors import ApprovalError, InventoryError, UsageError
from nbserver.cli import program
from nbserver.commands.failed_hosts import failed_in
from nbserver.run import operation
from nbserver.run.result import Result
from tests.simulated_fleet import dead
from tests.unit.commands.test_resume import Site, site, stopped

__all__ = ["site", "stopped"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["lin0001", "lin0002"]),
        (["all"], ["lin0001", "lin0002"]),
        (["all", "!lin0001"], ["lin0002"]),
        (["--limit", "lin0002"], ["lin0002"]),
        (["all", "--limit", "lin000[13]"], ["lin0001"]),
    ],
)
def test_only_those_hosts_are_selected(stopped: Site, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]) -> None:
    chosen: list[str] = []

    def operate(mode: str, inventory: Any, hosts: Any, *given: Any) -> dict[str, Result]:
        chosen.extend(host.name for host in hosts)
        return {host.name: Result(host.name, "ok") for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    command = ["undo", *arguments, "--failed-from", stopped.folder.name, "-i", str(stopped.fleet.path)]
    assert program.cli.main(command, standalone_mode=False) == 0 and chosen == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], ["lin0002"]), (["all"], ["lin0002"]), (["--limit", "lin000*"], ["lin0002"]), (["lin0003"], None)],
)
def test_a_host_that_is_no_longer_in_the_inventory_is_left_out(
    stopped: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str] | None
) -> None:
    """Its name can be that of a group meanwhile, which did not fail."""
    chosen: list[str] = []

    def operate(mode: str, inventory: Any, hosts: Any, *given: Any) -> dict[str, Result]:
        chosen.extend(host.name for host in hosts)
        return {host.name: Result(host.name, "ok") for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    path = stopped.fleet.path
    text = path.read_text().replace("[hosts.lin0001]", "[hosts.new]").replace('"lin0001"', '"new"')
    path.write_text(text + '[groups.lin0001]\nhosts = ["lin0003"]\n')
    command = ["undo", *arguments, "--failed-from", stopped.folder.name, "-i", str(path)]
    if expected is None:
        with pytest.raises(InventoryError, match="exclude every host"):
            program.cli.main(command, standalone_mode=False)
        return
    assert program.cli.main(command, standalone_mode=False) == 0 and chosen == expected
    assert "no longer in the inventory, so nbserver leaves them out: lin0001" in capsys.readouterr().err


def test_the_newest_summary_counts(stopped: Site, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.fleet.hosts["lin0001"].fault = dead
    stopped.resume()
    assert failed_in(stopped.folder.name, None, stopped.fleet.path) == ["lin0001"]
    stopped.fleet.hosts["lin0001"].fault = lambda host, mode, n: None
    stopped.resume()
    assert len(list(stopped.folder.glob("summary-*.json"))) == 2
    command = ["apply", "--failed-from", stopped.folder.name, "-i", str(stopped.fleet.path)]
    assert program.cli.main(command, standalone_mode=False) == 0 and "No host failed in the run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["*", "!lin0001", "lin0003,lin0004", "all|lin0001", "../x", ""])
def test_a_pattern_in_a_summary_selects_nothing(stopped: Site, name: str) -> None:
    path = stopped.folder / "summary.json"
    content = json.loads(path.read_text())
    content["hosts"][name] = content["hosts"]["lin0001"]
    path.write_text(json.dumps(content))
    with pytest.raises(ApprovalError, match="is not in the format that nbserver writes"):
        failed_in(stopped.folder.name, None, stopped.fleet.path)


def test_a_run_without_a_summary_is_resumed_first(stopped: Site) -> None:
    (stopped.folder / "summary.json").unlink()
    with pytest.raises(UsageError, match="nbserver resume"):
        failed_in(stopped.folder.name, None, stopped.fleet.path)
    for run, text in (("run-9", "there is no run"), ("..", "is not a run ID")):
        with pytest.raises(UsageError, match=text):
            failed_in(run, None, stopped.fleet.path)
    with pytest.raises(click.MissingParameter):
        program.cli.main(["apply", "-i", str(stopped.fleet.path)], standalone_mode=False)
    assert json.loads((stopped.folder / "run.json").read_text())["mode"] == "apply"
