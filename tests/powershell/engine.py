"""One PowerShell, named by NBSERVER_TEST_PWSH, that stays open: an example of a property test costs milliseconds."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

from nbserver.render.step_files import PRELUDE, STEPS
from tests.boxes import windows_image, wine
from tests.boxes.wine import PWSH_VARIABLE, pwsh_command, windows_path
from tests.checkout import CHECKOUT
from tests.powershell.start import EngineEnded, begun

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
    "downloads": ["web_requests", "paths", "held_files"],
    "tasks": ["not_found"],
    "firewall": ["not_found"],
    "download_checks": ["web_requests", "server_check", "package_environment", "package_configuration"],
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
    return dict(os.environ) if os.name == "nt" else wine.environment(windows_image.scripts_windows())


class Session:
    """Scripts run one after the other, each in a scope of its own; `keep` defines what they all see."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._has_run = False
        self._engine = begun(command("session.ps1"), environment())

    def keep(self, script: str) -> None:
        """Runs a script in the session's own scope: its functions and variables stay.

        An engine that ends before it has run anything is replaced: definitions can be repeated.
        """
        try:
            self._ask("keep", script, ())
        except EngineEnded:
            if self._has_run:
                raise
            self._engine.close()
            self._engine = begun(command("session.ps1"), environment())
            for known in (*self._kept, script):
                self._ask("keep", known, ())
        self._kept.append(script)

    def run(self, script: str, lines: Sequence[str] = ()) -> list[str]:
        """What a script puts out, each as the text that it is; `lines` is its $input. Raises EngineError."""
        self._has_run = True
        return self._ask("run", script, lines)

    def _ask(self, verb: str, script: str, lines: Sequence[str]) -> list[str]:
        answers = []
        with self._engine.killed_after(SECONDS):
            try:
                self._engine.input.write(" ".join([verb, *(encode(text) for text in (script, *lines))]) + "\n")
                self._engine.input.flush()
            except OSError:  # it has ended
                raise self._engine.ended("") from None
            while (line := self._engine.output.readline()) != "done\n":
                word, _, text = line.rstrip("\n").partition(" ")
                if word == "out":
                    answers.append(decode(text))
                elif word == "error":
                    error = decode(text)
                elif word == "failed":
                    raise EngineError(error)
                else:
                    raise self._engine.ended(line)
        return answers

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()

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
