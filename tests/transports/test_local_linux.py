"""This machine, a Linux one, as a transport: the real bootstrap and a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import ScriptError
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.transports.local.linux import LocalTransport, environment
from nbserver.transports.transport import StopRequested
from tests.checkout import SOURCE
from tests.linux import parts
from tests.user_scope import no_systemd  # noqa: F401
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


# ---- settings


# ---- the password


# ---- the transport


@pytest.fixture
def transport() -> Iterator[LocalTransport]:
    parts.require_bash()
    opened = LocalTransport(LocalLinuxHost(), threading.Event())
    yield opened
    opened.close()


def test_the_envelope_arrives_and_every_line_comes_back(transport: LocalTransport) -> None:
    script = 'while IFS= read -r line; do echo "got $line"; done; echo \'error\' >&2; for ((i = 0; i < 5000; i++)); do echo "line $i"; done; exit 2\n'
    lines = list(transport.run(script, ["mode test", "secret x AAAA"]))
    assert lines[:2] == ["got mode test", "got secret x AAAA"] and lines[2:] == [f"line {i}" for i in range(5000)]


def test_a_script_that_bash_cannot_run_says_why(transport: LocalTransport) -> None:
    with pytest.raises(ScriptError, match="no such word"):
        list(transport.run("echo no such word >&2; exit 7\n", []))


@pytest.mark.parametrize("script", ["echo begun; kill -KILL $$\n", "kill -KILL $PPID; sleep 1\n"], ids=["the script", "the bootstrap"])
def test_a_killed_script_is_said_to_be_killed(transport: LocalTransport, script: str) -> None:
    with pytest.raises(ScriptError, match=r"local: the script was killed with signal 9 .* which is safe.* memory") as found:
        list(transport.run(script, []))
    assert found.value.code == "script-killed"


@pytest.mark.parametrize(("name", "shown"), [("SEGV", "SIGSEGV"), ("TERM", "SIGTERM")])
def test_a_signal_that_ended_the_script_is_named(transport: LocalTransport, name: str, shown: str) -> None:
    with pytest.raises(ScriptError, match=f"the script was ended by {shown}"):
        list(transport.run(f"kill -{name} $$\n", []))


def test_it_is_told_to_stop(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    opened = LocalTransport(LocalLinuxHost(), stop)
    heard = []
    with pytest.raises(StopRequested):
        for line in opened.run(
            f"trap 'echo stopping; touch {tmp_path}/stopped; exit 3' TERM\necho begun\nwhile true; do sleep 0.1; done\n", []
        ):
            heard.append(line)
            stop.set()
    assert heard == ["begun", "stopping"] and (tmp_path / "stopped").exists()
    assert list(opened.run("echo after\n", [])) == ["after"]
    opened.close()


def test_a_stop_before_it_begins_starts_nothing(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    stop.set()
    opened = LocalTransport(LocalLinuxHost(), stop)
    with pytest.raises(StopRequested):
        list(opened.run(f"touch {tmp_path}/started\n", ["mode apply"]))
    assert not (tmp_path / "started").exists()
    assert list(opened.run("echo after\n", [])) == ["after"], "a stop is heard once: how that run ended can be asked"
    opened.close()


def test_what_is_left_running_is_no_zombie_later(tmp_path: Path) -> None:
    """Nobody waits for a script whose time is over; nbserver may go on with other hosts for hours."""
    parts.require_bash()
    opened = LocalTransport(LocalLinuxHost(), threading.Event())
    lines = opened.run(f"echo begun; until [[ -e {tmp_path}/go ]]; do sleep 0.1; done\n", [])
    assert next(lines) == "begun"
    process = opened._process
    assert process
    opened.close()
    assert process.returncode is None
    (tmp_path / "go").touch()
    assert wait_until(lambda: process.returncode is not None), "nobody polls it here"


def test_it_goes_on_when_the_orchestrator_dies(tmp_path: Path) -> None:
    parts.require_bash()
    program = f"""
import threading
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.transports.local.linux import LocalTransport
script = "echo begun; until [[ -e {tmp_path}/go ]]; do sleep 0.1; done; echo written >{tmp_path}/end; echo end\\n"
for line in LocalTransport(LocalLinuxHost(), threading.Event()).run(script, []):
    print(line, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=SOURCE)
    assert process.stdout and process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    assert wait_until(lambda: (tmp_path / "end").exists() and (tmp_path / "end").read_text() == "written\n")


def test_no_variable_with_a_secret_is_passed_on(transport: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "geheim")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.com/simple/")
    assert "geheim" not in str(environment())
    lines = list(transport.run("printf '%s\\n' \"${NOTEBOOK_PASSWORD-none} $https_proxy $PIP_INDEX_URL $HOME\"\n", []))
    assert lines == [f"none http://proxy.example.com:3128 https://index.example.com/simple/ {os.environ['HOME']}"]


# ---- status
