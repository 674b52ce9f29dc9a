"""`--failed-from RUN`: the hosts that did not succeed in an earlier run."""

from __future__ import annotations

from pathlib import Path

from nbserver.base.errors import UsageError
from nbserver.run import past_files, past_run, run_id
from nbserver.run.journal import FOLDER
from nbserver.run.result import SUCCEEDED


def failed_in(run: str, runs: Path | None, inventory_path: Path) -> list[str]:
    """Return the hosts that failed, stopped, or were not reached in a run, and in the last attempt to resume it.

    Raises UsageError if the run has no summary, and ApprovalError if it is not as nbserver writes it.
    """
    run_id.require(run)
    folder = (runs or inventory_path.absolute().parent / FOLDER) / run
    past_run.require_there(folder)
    summary = past_files.summary(folder)
    if summary is None:
        raise UsageError(
            "failed-from-unfinished-run",
            "the run {run} did not finish, so it is not known which hosts failed",
            todo="Run nbserver resume {run} first",
            run=run,
        )
    return [name for name, host in summary.items() if host["outcome"] not in SUCCEEDED]
