"""Ctrl-C, as a person presses it: at a prompt, while a host is being reached, while its script runs, and again. SIGTERM does the same."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import PYTHON_PATH
from tests.waiting import wait_until

SOON = 20.0  # seconds, on a machine that has much else to do; the silent host alone would take 30, and the endless ones never end

# nbserver, whose hosts run their scripts without an end; those that are stopped heed it or not.
ENDLESS = """
import sys, time, threading
from nbserver.transports import connect
from nbserver.transports.transport import StopRequested
from nbserver.cli.program import main
class Endless:
    def __init__(self, host, secrets, stop): self.stop = stop
    def run(self, script, envelope):
        print("running", file=sys.stderr, flush=True)
        while not (self.stop.wait(0.05) and HEEDS): time.sleep(0.01)
        raise StopRequested
        yield ""
    def close(self): pass
connect.connect_to = Endless
sys.argv[0] = "nbserver"
main()
"""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


class Nbserver:
    """A running nbserver with its own terminal as standard input; `said` is its standard error so far."""

    def __init__(self, folder: Path, inventory: str, *arguments: str, program: tuple[str, ...] = ("-m", "nbserver")) -> None:
        (folder / "nbserver.toml").write_text(inventory)
        self._errors, self._output = folder / "errors", folder / "output"
        self.terminal, inside = pty.openpty()
        with self._errors.open("wb") as errors, self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": PYTHON_PATH, "WINDOWS_PASSWORD": "correct horse"},
                stdin=inside,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        os.close(inside)

    def wait_for(self, words: str) -> None:
        assert wait_until(lambda: words in self.errors or self.process.poll() is not None) and words in self.errors, self.errors

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float) -> int:
        """Return the exit code of a process that ends within `seconds` from now."""
        begun = time.monotonic()
        code = self.process.wait(60)
        assert time.monotonic() - begun < seconds, self.errors
        return code

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def output(self) -> str:
        return self._output.read_text()


def windows(port: int, more: str = "") -> str:
    more += "" if "notebook.password" in more else '\nnotebook.password = { env = "WINDOWS_PASSWORD" }'
    return f'[hosts.win1]\nsystem = "windows"\naddress = "127.0.0.1"\nport = {port}\ntls = false\nuser = "bob"\npassword = {{ env = "WINDOWS_PASSWORD" }}\n{more}'


def test_at_a_prompt(tmp_path: Path) -> None:
    nbserver = Nbserver(tmp_path, windows(1, "notebook.password = { prompt = true }"), "apply", "win1")
    nbserver.wait_for("notebook.password")
    nbserver.interrupt()
    assert nbserver.end(SOON) == 130
    assert "nbserver: the command was interrupted" in nbserver.errors and not list(tmp_path.glob("nbserver-runs"))


def test_the_end_of_the_input_at_a_prompt_is_not_an_interrupt(tmp_path: Path) -> None:
    nbserver = Nbserver(tmp_path, windows(1, "notebook.password = { prompt = true }"), "apply", "win1")
    nbserver.wait_for("notebook.password")
    os.write(nbserver.terminal, b"\x04")
    assert nbserver.end(SOON) == 2
    assert "notebook.password: the prompt was closed before an answer was entered" in nbserver.errors


@pytest.mark.parametrize(("transport", "number"), [("psrp", signal.SIGINT), ("winrm", signal.SIGTERM)])
def test_while_a_host_is_being_reached(tmp_path: Path, silent: socket.socket, transport: str, number: int) -> None:
    nbserver = Nbserver(tmp_path, windows(silent.getsockname()[1], f'transport = "{transport}"'), "plan", "win1")
    with silent.accept()[0]:
        nbserver.interrupt(number)
        assert nbserver.end(SOON) == 3
    assert "win1  stopped" in nbserver.output and "Stopping" in nbserver.errors
    assert list(tmp_path.glob("nbserver-runs/*/summary.json"))


def test_while_a_script_runs(tmp_path: Path) -> None:
    nbserver = Nbserver(tmp_path, windows(1), "plan", "win1", program=("-c", f"HEEDS = True{ENDLESS}"))
    nbserver.wait_for("running")
    nbserver.interrupt()
    assert nbserver.end(SOON) == 3
    assert "win1  stopped" in nbserver.output and list(tmp_path.glob("nbserver-runs/*/summary.json"))


def test_again_while_the_hosts_stop(tmp_path: Path) -> None:
    nbserver = Nbserver(tmp_path, windows(1), "plan", "win1", program=("-c", f"HEEDS = False{ENDLESS}"))
    nbserver.wait_for("running")
    nbserver.interrupt()
    nbserver.wait_for("Stopping")
    nbserver.interrupt()
    assert nbserver.end(SOON) == 3
    assert "nbserver: interrupted again" in nbserver.errors
