"""This machine in user scope, whoever runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.inventory import local_linux_host


@pytest.fixture(autouse=True)
def no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that user scope is the default of root too, who may run the tests."""
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path / "no systemd")
