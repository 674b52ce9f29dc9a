"""The server of a Windows machine: the file that names its process, and where nothing is set up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.commands import status
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.local import windows_service
from nbserver.local.places import windows_places
from nbserver.local.windows_process import Process
from tests.formats import validate


def test_machine_scope_has_commands_of_windows() -> None:
    host = LocalWindowsHost.model_validate({"scope": "machine", "notebook": {"password": {"env": "X"}}})
    with pytest.raises(UsageError, match="Stop-ScheduledTask nbserver"):
        status.stop(host)


def test_where_nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert status.status(LocalWindowsHost(), as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    validate("stream", found)
    assert (found["by"], found["ok"]) == ("none", False)
    assert status.stop(LocalWindowsHost()) == 0
    assert windows_places(LocalWindowsHost()).process == tmp_path / "nbserver" / "state" / "process"


@pytest.mark.parametrize("text", ["", "x", "12", "12 x", "-1 5", "0 5", "1 0", "12 34 56", "12  34", "12345678901 5", " 12 34"])
def test_a_file_that_names_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "process").write_text(text + "\nwhat it was started for\n")
    assert windows_service.named(tmp_path / "process") is None
    assert windows_service.named(tmp_path / "nothing") is None


def test_a_file_that_names_one(tmp_path: Path) -> None:
    (tmp_path / "process").write_bytes(b"12 134398636016611460\nC:\\caf\xc3\xa9\n")
    found = windows_service.named(tmp_path / "process")
    assert found == Process(12, 134398636016611460) and found.since == pytest.approx(1795390001.66, abs=0.01)
