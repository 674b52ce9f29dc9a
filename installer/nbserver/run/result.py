"""The result of a run on a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbserver.base.errors import HostError, NbserverError
from nbserver.base.plain_text import clean

LONGEST_ERROR = 12_000  # characters


@dataclass
class Result:
    """The result of a run on a host.

    `outcome` is ok, differs (plan), failed, stopped, or reboot (Windows must restart before the run can continue). `steps` maps
    a step to its last event, across all restarts. `code` is the exit code of a failure.
    """

    host: str
    outcome: str = "failed"
    changed: int = 0
    reboot: bool = False
    fingerprint: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    error: str = ""
    csr: str = ""
    code: int = HostError.exit_code

    def fail(self, error: BaseException) -> None:
        """Set the outcome to failed and keep the number of changes. An exception that is not an NbserverError is a bug in nbserver."""
        if not isinstance(error, NbserverError):
            what = f"internal error (a bug in nbserver): {type(error).__name__}: {error}"
            error = NbserverError(what, where=self.host, todo="Report it with the host's log from the run folder")
        self.outcome, self.error, self.code, self.fingerprint = "failed", clean(str(error), LONGEST_ERROR), error.exit_code, ""

    def as_json(self) -> dict[str, Any]:
        """Return the host's part of the summary."""
        return {
            "outcome": self.outcome,
            "changed": self.changed,
            "reboot": self.reboot,
            "steps": self.steps,
            **({"error": self.error} if self.error else {}),
        }


def exit_code(results: Mapping[str, Result]) -> int:
    """Return the exit code for the results, the first of these that applies to a host:

    1 internal error, 2 usage error, 5 a certificate could not be recorded, 3 failed, stopped, or must restart first, 4 a plan
    found differences; otherwise 0.
    """
    codes = {_code(result) for result in results.values()}
    return next((code for code in (1, 2, 5, 3, 4) if code in codes), 0)


def _code(result: Result) -> int:
    if result.outcome == "failed":
        return result.code
    return {"ok": 0, "differs": 4}.get(result.outcome, 3)
