"""What mode `status` has found on a host, next to what the workstation knows: days left, the script rendered now, and drift."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONTINUED = re.compile("(-r[0-9]{1,3})?(-[2-9])?$")  # of a run that was resumed, and after a restart of Windows


@dataclass
class HostStatus:
    """The status of one host.

    `found` are the fields of the event `status`, `script_sha256` is the hash of the script that the inventory renders now, and
    `differences` counts what differs from it. `is_here` is whether the run directory of the last run is on this workstation.
    """

    found: Mapping[str, Any]
    script_sha256: str
    days_left: int | None = None
    differences: int = 0
    is_here: bool | None = None

    @property
    def is_running(self) -> bool:
        """Whether the notebook server runs."""
        return bool(self.found["service"]["state"] == "running")

    @property
    def is_current(self) -> bool | None:
        """Whether the last run used the script that is rendered now, or None if no last run is known."""
        last = self.found["last"]
        return None if last is None else bool(last["script_sha256"] == self.script_sha256)

    def as_json(self) -> dict[str, Any]:
        """Return the object `status` of the summary."""
        fields = ("service", "versions", "certificate", "record", "last")
        return {
            **{name: self.found[name] for name in fields},
            "limits": self.found.get("limits"),
            "previous": self.found.get("previous"),
            "days_left": self.days_left,
            "script_sha256": self.script_sha256,
            "script_is_current": self.is_current,
            "last_run_is_here": self.is_here,
            "differences": self.differences,
        }

    def look_for_run(self, runs: Path) -> None:
        """Find out whether the folder `runs` has the last run."""
        last = self.found["last"]
        if last is None:
            return
        with suppress(OSError):  # not readable: then it is not known
            self.is_here = any((runs / name / "run.json").is_file() for name in (last["run"], CONTINUED.sub("", last["run"])))


def status_of(found: Mapping[str, Any], script_sha256: str) -> HostStatus:
    """Return the status of a host that has reported these fields. The days are counted by the workstation's clock."""
    certificate = found["certificate"]
    return HostStatus(found, script_sha256, _days_until(certificate["expires"]) if certificate else None)


def _days_until(time: str) -> int | None:
    """Return the whole days until a time, negative if it is over, or None if the host reported a time that does not exist."""
    try:
        return (datetime.fromisoformat(time) - datetime.now(UTC)).days
    except ValueError:
        return None
