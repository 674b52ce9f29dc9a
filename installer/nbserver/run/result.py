"""How a run ended on a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbserver.base.errors import HostError, NbserverError
from nbserver.base.plain_text import clean

LONGEST_ERROR = 12_000  # characters


@dataclass
class Result:
    """How a run ended on a host. `outcome`: ok, differs (plan), failed, stopped, or reboot (Windows has to restart before it
    goes on); `steps` maps a step to its last word, over all restarts. `code` is the exit code of a failure.
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
        """Nothing of it counts any more but what was changed. What is not an error for a person is a defect of nbserver."""
        if not isinstance(error, NbserverError):
            what = f"a defect of nbserver: {type(error).__name__}: {error}"
            error = NbserverError(what, where=self.host, todo="Please report it, with the log of this host in the run's folder")
        self.outcome, self.error, self.code, self.fingerprint = "failed", clean(str(error), LONGEST_ERROR), error.exit_code, ""

    def as_json(self) -> dict[str, Any]:
        """The host's part of the summary."""
        return {
            "outcome": self.outcome,
            "changed": self.changed,
            "reboot": self.reboot,
            "steps": self.steps,
            **({"error": self.error} if self.error else {}),
        }


def exit_code(results: Mapping[str, Result]) -> int:
    """Of what happened on the hosts the first of: 1 a defect of nbserver, 2, 5 what is known of one could not be written, 3 one failed,

    was stopped or has to restart first, 4 a plan found differences; else 0.
    """
    codes = {_code(result) for result in results.values()}
    return next((code for code in (1, 2, 5, 3, 4) if code in codes), 0)


def _code(result: Result) -> int:
    if result.outcome == "failed":
        return result.code
    return {"ok": 0, "differs": 4}.get(result.outcome, 3)
