"""A sandbox for a test, and runs of small scripts in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.formats import validate
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox") as opened:
        yield opened


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip, which takes long to create."""
    folder = tmp_path_factory.mktemp("template")
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(folder)], check=True)
    return folder


class Run:
    """What one run said; `code` is its exit code."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code, self.errors = done.returncode, done.stderr.decode("utf-8", "replace")
        self.lines = done.stdout.decode("ascii").splitlines()
        self.events: list[dict[str, Any]] = [json.loads(line) for line in self.lines]
        for event in self.events:
            validate("event", event)
        assert [event["n"] for event in self.events] == list(range(1, len(self.events) + 1))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["event"] == event]

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(step, event) of what became of each step."""
        return [(event["step"], event["event"]) for event in self.events if event["event"] in ("changed", "unchanged", "difference")]

    @property
    def outcome(self) -> str:
        assert self.events[-1]["event"] == "finished"
        return str(self.events[-1]["outcome"])


NUMBER = iter(range(1, 10**9))


def run(sandbox: Sandbox, mode: str, steps: Sequence[str], *, name: str = "", secrets: str = "", **settings: Any) -> Run:
    """Puts a script of these steps into the sandbox and runs it there from an envelope."""
    sandbox.write("/tmp/lin1.sh", script(steps, **settings))
    envelope = f"mode {mode}\nrun {name or f'r{next(NUMBER)}'}\n{secrets}"
    return Run(sandbox.run("bash", "/tmp/lin1.sh", "envelope", input=envelope.encode(), check=False))


def record(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The record's lines, each checked by its schema."""
    lines = [json.loads(line) for line in sandbox.read("/var/lib/nbserver/state/record.jsonl").splitlines()]
    for line in lines:
        validate("record_linux", line)
    return lines
