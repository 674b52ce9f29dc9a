"""Standard output that is closed, full, stopped, or lacks characters: the run, its results, and its exit code are the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import PYTHON_PATH
from tests.waiting import wait_until

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, a device that cannot be written")

INVENTORY = """
[defaults]
system = "windows"
user = "bob"
password = { env = "X" }
notebook.password = { env = "X" }
[hosts.win1]
address = "192.0.2.1"
[hosts.win2]
address = "192.0.2.2"
"""
PASSWORD = re.compile(r"Notebook password \(shown only once\): (\w{4}-){3}\w{4}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    return tmp_path


def start(folder: Path, *arguments: str, shell: str = "", **given: Any) -> subprocess.Popen[bytes]:
    more = given.pop("more", {})
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "X": "correct horse battery", "HOME": str(folder), **more}
    command = [*(["sh", "-c", shell, "sh"] if shell else []), sys.executable, "-m", "tests.processes.answering", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **given}
    return subprocess.Popen(command, cwd=folder, env=environment, **streams)


def run(folder: Path, *arguments: str, **given: Any) -> tuple[int, str, str]:
    """Return the exit code, standard output, and standard error."""
    with start(folder, *arguments, **given) as process:
        out, errors = process.communicate(timeout=60)
    return process.returncode, (out or b"").decode(errors="replace"), (errors or b"").decode(errors="replace")


def check_the_journal(folder: Path, events: int = 6) -> None:
    (run,) = (path for path in (folder / "nbserver-runs").iterdir() if path.is_dir())  # a lock is next to it
    summary = json.loads((run / "summary.json").read_text())
    assert {name: entry["outcome"] for name, entry in summary["hosts"].items()} == {"win1": "ok", "win2": "ok"}
    assert {len((run / name / "events.jsonl").read_text().splitlines()) for name in summary["hosts"]} == {events}


@pytest.mark.parametrize("as_json", [["--json"], []], ids=["json", "plain"])
def test_a_consumer_that_closes_it(folder: Path, as_json: list[str]) -> None:
    with start(folder, "apply", "win1", "win2", *as_json, more={"FILLING": "300"}) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 0, errors
    check_the_journal(folder, 303)
    assert errors.count("find its results in ") == 1 and ("win1  ok" in errors) is not bool(as_json)


@pytest.mark.parametrize("as_json", [["--json"], []], ids=["json", "plain"])
def test_a_full_disk(folder: Path, as_json: list[str]) -> None:
    with FULL.open("wb") as full:
        code, _, errors = run(folder, "apply", "win1", "win2", *as_json, stdout=full)
    assert code == 0, errors
    check_the_journal(folder)
    lines = [line for line in errors.splitlines() if line.startswith("nbserver: ")]
    (directory,) = (folder / "nbserver-runs").iterdir()
    words = "nbserver: could not write all output of the run to standard output: No space left on device. "
    assert lines == [f"{words}The run has finished; find its results in {directory}"], errors
    assert errors == f"{lines[0]}\n" if as_json else "win1  ok" in errors


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_do_not_exist(folder: Path, closed: str) -> None:
    code, out, errors = run(folder, "apply", "win1", "win2", shell=f'exec "$@" {closed}')
    assert code == 0, errors
    check_the_journal(folder)
    assert "win1  ok" in out + errors or closed == ">&- 2>&-"


def test_a_consumer_that_does_not_read_on(folder: Path) -> None:
    """A pipe holds 64 KiB. The run ends, and its results are delivered once they are read."""
    with start(folder, "apply", "win1", "win2", "--json", more={"FILLING": "800"}) as process:
        assert wait_until(lambda: list(folder.glob("nbserver-runs/*/summary.json")) or process.poll() is not None, 30)
        check_the_journal(folder, 803)
        lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0 and len(lines) == 2 * (803 + 1) + 1 and json.loads(lines[-1])["event"] == "summary"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-16", "ascii:strict"])
def test_an_encoding_that_lacks_characters(folder: Path, encoding: str) -> None:
    code, out, errors = run(folder, "apply", "win1", "win2", more={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert code == 0 and not errors
    check_the_journal(folder)
    assert "win1  ok" in out.replace("\0", "")


@pytest.mark.parametrize("full", ["stdout", "stderr"])
@pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
def test_a_new_password_is_shown_on_the_stream_that_is_left(folder: Path, full: str) -> None:
    with FULL.open("wb") as stream:
        code, out, errors = run(folder, "apply", "local", **{full: stream})
    assert code == 0 and PASSWORD.search(out + errors), out + errors


@pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
def test_no_password_is_generated_that_cannot_be_shown(folder: Path) -> None:
    with FULL.open("wb") as full:
        assert run(folder, "apply", "local", stdout=full, stderr=full, start_new_session=True)[0] == 2
    assert not (folder / "nbserver-runs").exists()


def test_what_is_only_printed_fails_if_it_cannot_be_written(folder: Path) -> None:
    for arguments in (
        ["schema"],
        ["completion", "bash"],
        ["hash-password", "win1"],
        ["hosts", "win1"],
        ["render", "win1", "-o", "out"],
        ["audit", "out"],
        ["catalog", "check", "--offline"],
    ):
        with FULL.open("wb") as full:
            code, _, errors = run(folder, *arguments, stdout=full, shell='echo correct-horse-battery | "$@"')
        assert (
            code == 3
            and errors.count("nbserver: ") == 1
            and "nbserver: could not write to standard output: No space left on device" in errors
        ), errors
