"""What the report reads of a run directory."""

from __future__ import annotations

from nbserver.report.run_files import COMMANDS
from tests.formats import schema


def test_a_run_of_every_mode_has_a_report() -> None:
    assert set(COMMANDS) == set(schema("run")["properties"]["mode"]["enum"])
