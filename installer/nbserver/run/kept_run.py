"""A run whose events a host has kept, as the host reports it in mode `evidence`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbserver.events.reader import Event


@dataclass(frozen=True)
class KeptRun:
    """The run with this ID.

    `found` are its mode, outcome, operator, script_sha256, and times, or None if its first event is not that of a run. `sha256` and
    `size` are those of the file with its events. `script` is whether the host has its script: kept, changed, or missing.
    """

    id: str
    found: Mapping[str, Any] | None
    sha256: str
    size: int
    script: str

    @property
    def is_running(self) -> bool:
        """Whether the run has not ended yet."""
        return self.found is not None and self.found["outcome"] == "running"


def kept_run_of(event: Event) -> KeptRun:
    """Return the run of an event `kept`."""
    data = event.data
    return KeptRun(data["id"], data["run"], data["sha256"], data["size"], data["script"])
