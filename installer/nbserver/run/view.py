"""What a run shows while it goes on, and at its end. The package view has the ways of showing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from nbserver.events.reader import Event
from nbserver.run.result import Result


class View(Protocol):
    """Called from several threads while hosts run."""

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None: ...
    def event(self, host: str, event: Event) -> None: ...
    def host_ended(self, result: Result) -> None: ...
    def interrupted(self) -> None: ...
    def end(self) -> None: ...
    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None: ...
