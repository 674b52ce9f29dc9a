"""Show a run as JSON, one object per line, for another program."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base.standard_streams import text_for_reader
from nbserver.events.reader import Event
from nbserver.run.past_files import SUMMARY_VERSION
from nbserver.view.summary import STOPPING

if TYPE_CHECKING:
    from nbserver.run.result import Result


class JsonLines:
    """Writes one JSON object per line to standard output; the last one is the summary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        pass

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        self._write({"host": host} | event.as_json() | {"host": host})  # host is the first key, and an event cannot override it

    def host_ended(self, result: Result) -> None:
        self._write(
            {
                "host": result.host,
                "event": "ended",
                "outcome": result.outcome,
                "error_kind": result.error_kind,
                "code": result.detail.get("code"),
                "changed": result.changed,
                "seconds": result.seconds,
            }
        )

    def interrupted(self) -> None:
        click.echo(text_for_reader(STOPPING), err=True)

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        hosts = {name: result.as_json() for name, result in results.items()}
        self._write({"event": "summary", "v": SUMMARY_VERSION, "runs": str(folder), "hosts": hosts})

    def _write(self, value: Mapping[str, object]) -> None:
        with self._lock:
            click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))  # ASCII, so that no character controls the terminal
