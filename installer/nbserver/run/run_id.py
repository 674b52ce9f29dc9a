"""The ID of a run that a person names."""

from __future__ import annotations

from nbserver.base.errors import UsageError
from nbserver.run.envelope import RUN_ID


def require(run: str, name: str | None = None) -> None:
    """Raise UsageError unless `name` can be the ID of a run. It is `run` itself, or the name of the folder at the path `run`."""
    if not RUN_ID.fullmatch(run if name is None else name):
        raise UsageError("run-id-invalid", '"{run}" is not a run ID', todo="Specify the name of a folder in nbserver-runs", run=run)
