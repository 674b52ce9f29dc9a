"""One PowerShell, named by NBSERVER_TEST_PWSH, that stays open: an example of a property test costs milliseconds."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

from nbserver.render.step_files import PRELUDE, STEPS
from tests.boxes.wine import DOTNET, PASSED_ON, PWSH_VARIABLE, pwsh_command, windows_path
from tests.checkout import CHECKOUT

FOLDER = Path(__file__).parent
STEP_FILES = CHECKOUT / "ps_scripts"
SECONDS = 300
# File of the prelude -> what it needs: whatever writes a file checks paths first.
NEEDED = {
    "run": ["messages", "findings", "access", "places"],
    "record": ["paths", "held_files"],
    "files": ["state_folder"],
    "data_folders": ["data_folder_names", "path_access", "removal"],
    "foreign_configuration": ["foreign_places"],
    "package_environment": ["package_configuration"],
}


class EngineError(Exception):
    """A script ended with an error: its message."""


def require_engine() -> None:
    """Skips the test, saying what is missing, where no PowerShell is named."""
    if not os.access(os.environ.get(PWSH_VARIABLE, ""), os.X_OK):
        pytest.skip(f"this needs {PWSH_VARIABLE}: the program that runs PowerShell for Windows")


def host_path(path: Path) -> str:
    """A path of this machine as the engine sees it."""
    return str(path.absolute()) if os.name == "nt" else windows_path(path)


def prelude(*names: str, scope: str = "machine") -> str:
    """Files of a scope's prelude, without their folder, and those that they need, joined in the order of a rendered script."""
    files = {name.rpartition("/")[2]: name for name in PRELUDE["ps_scripts", scope]}
    unknown = set(names).difference(files)
    assert not unknown, f"not in the prelude: {sorted(unknown)}"
    needed = {other for name, others in NEEDED.items() if name in names for other in others}
    parts = [part(f"prelude/{path}") for name, path in files.items() if name in needed.union(names)]
    return "\n".join([*parts, SAID] if "run" in names else parts)


def steps(*names: str, scope: str = "machine") -> str:
    """Steps of a scope, without their folder, joined in this order."""
    files = {name.rpartition("/")[2]: name for name in STEPS["ps_scripts", scope]}
    return "\n".join(part(f"steps/{files[name]}") for name in names)


def part(name: str) -> str:
    return (STEP_FILES / f"{name}.ps1").read_text("ascii")


# Events go to the pipeline of the script; a test collects them and asks for them with Get-Said.
SAID = """
$Said = New-Object Collections.ArrayList
$Run.Pipeline = New-Object PSObject
$Run.Pipeline | Add-Member ScriptMethod WriteObject { param($Line) [void]$Said.Add($Line) }
function Get-Said { $Said.ToArray(); $Said.Clear() }
"""


def command(script: str) -> list[str]:
    """The command line that runs a script of this folder."""
    options = ["-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass"]
    return [pwsh_command(), *options, "-File", host_path(FOLDER / script)]


def environment() -> dict[str, str]:
    """What the engine sees of this machine: no proxy, no secret. On Windows it needs all."""
    if os.name == "nt":
        return dict(os.environ)
    names = (*PASSED_ON, "WINEPREFIX")
    passed_on = {name: os.environ[name] for name in names if name in os.environ}
    return {**passed_on, "WINEDEBUG": "-all", "POWERSHELL_TELEMETRY_OPTOUT": "1", **DOTNET}


class Session:
    """Scripts run one after the other, each in a scope of its own; `keep` defines what they all see."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            command("session.ps1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            text=True,
            encoding="ascii",
        )

    def keep(self, script: str) -> None:
        """Runs a script in the session's own scope: its functions and variables stay."""
        self._ask("keep", script, ())

    def run(self, script: str, lines: Sequence[str] = ()) -> list[str]:
        """What a script puts out, each as the text that it is; `lines` is its $input. Raises EngineError."""
        return self._ask("run", script, lines)

    def _ask(self, verb: str, script: str, lines: Sequence[str]) -> list[str]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(" ".join([verb, *(encode(text) for text in (script, *lines))]) + "\n")
        self.process.stdin.flush()
        answers = []
        watchdog = threading.Timer(SECONDS, self.process.kill)
        watchdog.start()
        try:
            while (line := self.process.stdout.readline()) != "done\n":
                word, _, text = line.rstrip("\n").partition(" ")
                if word == "out":
                    answers.append(decode(text))
                elif word == "error":
                    error = decode(text)
                elif word == "failed":
                    raise EngineError(error)
                else:
                    raise AssertionError(f"the engine ended, or wrote what is no answer: {line!r}")
        finally:
            watchdog.cancel()
        return answers

    def close(self) -> None:
        """Ends the engine: it ends by itself where its input ends."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def encode(text: str) -> str:
    """A text as base64 of its UTF-16LE: every text survives, half a surrogate pair too."""
    return base64.b64encode(text.encode("utf-16-le", "surrogatepass")).decode("ascii") or "-"


def decode(text: str) -> str:
    """The reverse of `encode`."""
    return base64.b64decode("" if text == "-" else text).decode("utf-16-le", "surrogatepass")
