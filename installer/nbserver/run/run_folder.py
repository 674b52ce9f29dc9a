"""Where the directory of a run is that a person names."""

from __future__ import annotations

import os
from pathlib import Path

from nbserver.run import evidence_log
from nbserver.run.journal import FOLDER


def of(run: str, runs: Path | None) -> Path:
    """Return the directory of a run: `run` is a path, or an ID in the folder `runs`. It may not exist.

    Without `runs`, an ID is in nbserver-runs or, if it is not there, where the log of this user's runs says.
    """
    if Path(run).name != run:
        return Path(run)
    folder = (runs or Path(FOLDER)) / run
    if runs or os.path.lexists(folder):
        return folder
    logged = (Path(entry.folder) for entry in reversed(evidence_log.read_own(run)))
    return next((place for place in logged if place.name == run and os.path.isfile(place / "run.json")), folder)  # noqa: PTH113 (Path.is_file raises for a name that is too long)
