"""The options --quiet, --verbose, and --log."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import click
import pytest

from nbserver.base.errors import UsageError
from nbserver.run.result import Result
from nbserver.view import choice
from nbserver.view.log_file import LogFile
from nbserver.view.plain_lines import PlainLines
from nbserver.view.quiet import Quiet
from nbserver.view.several import Several
from tests.unit.view.test_view import FAILED, RESULT, events, show

LINE = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z +(-|win\d) +\S")


def test_the_log_has_every_event_with_time_and_host(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    show(LogFile(path))
    lines = path.read_text("utf-8").splitlines()
    assert all(LINE.match(line) for line in lines)
    assert len(lines) == 1 + len(events()) + 2 + 1
    assert " apply, 2 hosts" in lines[0]
    assert [line for line in lines if "secretly busy" in line] and [line for line in lines if "python.zip 12 of 30 MB" in line]
    assert [line for line in lines if FAILED.error in line and "  win2 " in line]
    assert lines[-1].endswith("1 ok, 1 failed. The run is in runs")


def test_the_log_grows_and_belongs_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    show(LogFile(path))
    first = path.read_bytes()
    show(LogFile(path))
    assert path.read_bytes().startswith(first) and len(path.read_bytes()) == 2 * len(first)
    several = LogFile(path)
    show(several)
    show(several)
    assert len(path.read_bytes()) == 4 * len(first), "a command may consist of several runs"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ['[hosts.win1]\naddress = "x"\n', "x", "\n", "{}", "2026-11-29 10:00 some other log\n"])
def test_a_file_that_is_not_a_log_stays_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "nbserver.toml").write_text(content)
    with pytest.raises(UsageError, match="it is not an nbserver log"):
        LogFile(tmp_path / "nbserver.toml")
    assert (tmp_path / "nbserver.toml").read_text() == content
    (tmp_path / "empty").write_text("")
    show(LogFile(tmp_path / "empty"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_reported_once_and_the_run_is_still_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    show(Several(LogFile(Path("/dev/full")), PlainLines(said.append)))
    assert capsys.readouterr().err.count("could not write to the log file /dev/full") == 1
    assert said[-1] == "Scripts, events, and logs are in runs"


def test_quiet_shows_only_what_failed() -> None:
    said: list[str] = []
    show(Quiet(said.append))
    assert [click.unstyle(line).split("  ")[0] for line in said[:1]] == ["win2"]
    assert FAILED.error in said[1] and said[2:] == ["2 hosts: 1 ok, 1 failed", "Scripts, events, and logs are in runs"]
    said.clear()
    Quiet(said.append).summary("test", {"win1": RESULT, "win3": Result("win3", outcome="differs")}, Path("runs"))
    assert said == []


def test_verbose_shows_what_plain_lines_leave_out(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    show(PlainLines(said.append, verbose=True))
    assert [line for line in said if "secretly busy" in line] and [line for line in said if "python.zip 12 of 30 MB" in line]


@pytest.mark.parametrize("given", [(True, True, False), (True, False, True), (False, True, True)])
def test_they_cannot_be_combined(given: tuple[bool, bool, bool]) -> None:
    with pytest.raises(UsageError, match="--json, --quiet, and --verbose cannot be combined"):
        choice.choose(*given)


def test_one_view_that_fails_leaves_the_others_alone() -> None:
    def broken(text: str) -> None:
        raise OSError

    said: list[str] = []
    show(Several(PlainLines(broken), PlainLines(said.append)))
    assert said[-1] == "Scripts, events, and logs are in runs"
