"""The result of a run on a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbserver.base.errors import HostError, NbserverError
from nbserver.base.message import Described, detail
from nbserver.base.plain_text import clean
from nbserver.run import error_kind
from nbserver.run.finding import Finding
from nbserver.run.host_status import HostStatus
from nbserver.run.kept_run import KeptRun
from nbserver.run.transfer import HostFile

LONGEST_ERROR = 12_000  # characters
SUCCEEDED = ("ok", "differs")  # outcomes of a host that does not count as failed


@dataclass
class Result:
    """The result of a run on a host.

    `outcome` is ok, differs (plan), failed, unreachable (nbserver could not log on, so nothing ran), stopped, or reboot (Windows must
    restart before the run can continue). `steps` maps a step to its last event, across all restarts. `detail` has the code and the values of the text in `error`, if it has any.
    `code` is the exit code of a failure. `changed` is None if the run
    may have changed more than it reported. `seconds` is how long the run took on the host, or None if it did not begin.
    `findings` are those of a check. `folder` is the host's folder in the run directory. `status` is what mode status has found, and `files` are those of the modes list, push, pull, missing, and deliver.
    `kept` are the runs that mode evidence has found.
    """

    host: str
    outcome: str = "failed"
    changed: int | None = 0
    reboot: bool = False
    fingerprint: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    error: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    csr: str = ""
    findings: list[Finding] = field(default_factory=list)
    status: HostStatus | None = None
    files: list[HostFile] = field(default_factory=list)
    kept: list[KeptRun] = field(default_factory=list)
    code: int = HostError.exit_code
    seconds: float | None = None
    folder: Path | None = None

    def fail(self, error: BaseException) -> None:
        """Set the outcome to failed and keep the number of changes. An exception that is not an NbserverError is a bug in nbserver."""
        if not isinstance(error, NbserverError):
            error = NbserverError(
                "internal-error",
                "internal error (a bug in nbserver): {kind}: {reason}",
                where=self.host,
                todo="Report this bug, and include the host's log from the run directory",
                kind=type(error).__name__,
                reason=str(error),
            )
        self.outcome, self.code, self.fingerprint = "failed", error.exit_code, ""
        self.because(error)

    def fail_like(self, other: Result) -> None:
        """Set the outcome to that of another run of the host, without which this one cannot begin, and keep the number of changes."""
        self.outcome, self.code, self.fingerprint = other.outcome, other.code, ""
        self.error, self.detail = other.error, other.detail

    @property
    def error_kind(self) -> error_kind.Kind | None:
        """The kind of the failure, or None if the host did not fail."""
        return error_kind.of(self.outcome, self.detail)

    def because(self, reason: Described | None) -> None:
        """Set the text of the error and its detail, or remove both."""
        self.error = clean(str(reason), LONGEST_ERROR) if reason else ""
        self.detail = detail(reason) if reason else {}

    def as_json(self) -> dict[str, Any]:
        """Return the host's part of the summary."""
        return {
            "outcome": self.outcome,
            "changed": self.changed,
            "reboot": self.reboot,
            "steps": self.steps,
            **({"findings": [finding.as_json() for finding in self.findings]} if self.findings else {}),
            **({"status": self.status.as_json()} if self.status else {}),
            **({"seconds": self.seconds} if self.seconds is not None else {}),
            **({"error_kind": kind} if (kind := self.error_kind) else {}),
            **({"error": self.error, **self.detail} if self.error else {}),
        }


def exit_code(results: Mapping[str, Result]) -> int:
    """Return the exit code for the results, the first of these that applies to a host:

    1 internal error, 2 usage error, 5 a certificate could not be recorded, 3 failed, stopped, or must restart first, 4 a plan
    found differences; otherwise 0.
    """
    codes = {_code(result) for result in results.values()}
    return next((code for code in (1, 2, 5, 3, 4) if code in codes), 0)


def _code(result: Result) -> int:
    if result.outcome in ("failed", "unreachable"):
        return result.code
    return {"ok": 0, "differs": 4}.get(result.outcome, 3)
