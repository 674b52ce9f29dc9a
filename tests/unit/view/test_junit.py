"""The JUnit XML of a run, as a parser reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nbserver.base.errors import ConnectError, UsageError
from nbserver.run.host_status import HostStatus
from nbserver.run.result import Result
from nbserver.view import choice
from nbserver.view.junit import JunitFile, document


def results() -> dict[str, Result]:
    lost = Result("lin2", seconds=0.2)
    lost.fail(ConnectError("ssh-nothing-listening", '{place} <refused> & "that"', host="lin2", place="lin2:22"))
    lost.outcome = "unreachable"
    done = Result("lin1", "ok", 2, steps={"packages": "changed", "service": "unchanged"}, seconds=12.34)
    return {"lin1": done, "lin2": lost, "lin3": Result("lin3", "differs"), "lin4": Result("lin4", "stopped")}


def parsed(data: bytes) -> Any:
    return ElementTree.fromstring(data.decode("utf-8"))


def test_one_case_per_host(tmp_path: Path) -> None:
    suites = parsed(document("test", results(), tmp_path, "2026-11-29T07:00:00"))
    (suite,) = suites
    assert (suites.tag, suite.tag, suite.get("name"), suite.get("timestamp")) == (
        "testsuites",
        "testsuite",
        "nbserver plan",
        "2026-11-29T07:00:00",
    )
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "skipped": "0",
        "time": "12.5",
    }
    assert suite.find("properties/property").attrib == {"name": "run", "value": str(tmp_path)}
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert list(cases) == ["lin1", "lin2", "lin3", "lin4"]
    assert {name: case.get("time") for name, case in cases.items()} == {"lin1": "12.3", "lin2": "0.2", "lin3": "0.0", "lin4": "0.0"}
    assert cases["lin1"].findtext("system-out") == "outcome: ok\npackages: changed\nservice: unchanged"
    failure = cases["lin2"].find("failure")
    assert failure.get("type") == "refused" and failure.get("message") == failure.text == 'lin2: lin2:22 <refused> & "that"'
    assert cases["lin4"].find("failure").get("type") == "stopped"
    assert [name for name, case in cases.items() if case.find("failure") is None] == ["lin1", "lin3"]


@pytest.mark.parametrize(("state", "failures"), [("running", "0"), ("stopped", "1")])
def test_a_server_that_does_not_run_is_a_failure_of_status(tmp_path: Path, state: str, failures: str) -> None:
    result = Result("lin1", "ok", status=HostStatus({"service": {"state": state}}, "0" * 64))
    suites = parsed(document("status", {"lin1": result}, tmp_path, ""))
    found = [(failure.get("type"), failure.text) for failure in suites.iter("failure")]
    assert suites.get("failures") == failures
    assert found == (
        []
        if state == "running"
        else [("step", "lin1: the notebook server is not running (stopped). To start it, run nbserver restart lin1")]
    )


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ud800", "\ufffe", "]]>", "\u00e9\U0001f600"])
def test_any_text(tmp_path: Path, character: str) -> None:
    bad = Result("lin1", error=f"lin1: {character} was said")
    (case,) = parsed(document("apply", {"lin1": bad}, tmp_path, "")).iter("testcase")
    assert case.find("failure").text.endswith(" was said")


def test_it_is_written_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.xml"
    with pytest.raises(UsageError, match="Make sure that the folder exists"):
        JunitFile(file)
    file.parent.mkdir()
    view = JunitFile(file)
    view.begin("apply", {})
    assert not file.exists()
    view.summary("apply", results(), tmp_path)
    assert parsed(file.read_bytes()).get("tests") == "4" and list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="could not write to the folder"):
        JunitFile(tmp_path / "file" / "result.xml")
    view = JunitFile(tmp_path / "result.xml")
    (tmp_path / "result.xml").mkdir()
    view.summary("apply", results(), tmp_path)
    assert "nbserver: warning: could not write" in capsys.readouterr().err


def test_what_it_must_not_replace_is_refused_before_the_run(tmp_path: Path) -> None:
    inventory = tmp_path / "nbserver.toml"
    inventory.write_text("[hosts.win1]\n", "utf-8")
    for path, text in (
        (inventory, "does not look like earlier output"),
        (tmp_path, "cannot be replaced"),
        (Path(os.devnull), "cannot be replaced"),
    ):
        with pytest.raises(UsageError, match=text):
            JunitFile(path)
    with pytest.raises(UsageError, match="--log and --junit cannot be the same file"):
        choice.choose(False, log=tmp_path / "x", junit=tmp_path / "." / "x")
    assert not (tmp_path / "x").exists() and inventory.read_text("utf-8") == "[hosts.win1]\n"
