"""Status and stop where nothing is set up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbserver.commands import status
from nbserver.inventory.local_linux_host import LocalLinuxHost
from tests.formats import validate
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


def test_status_where_nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert status.status(LocalLinuxHost(), as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    validate("stream", found)
    assert (found["ok"], found["by"], found["port"], found["url"]) == (False, "none", 9999, "https://localhost:9999")
    assert status.status(LocalLinuxHost(), as_json=False, quiet=True) == 4 and "no notebook server is set up" in capsys.readouterr().out
    process = tmp_path / ".local" / "state" / "nbserver" / "process"
    process.parent.mkdir(parents=True)
    process.write_bytes(b"\xff\xfe damaged")
    assert status.stop(LocalLinuxHost()) == 0 and "not running" in capsys.readouterr().out
    assert status.stop(LocalLinuxHost(), quiet=True) == 0 and capsys.readouterr().out == ""
    assert status.stop(LocalLinuxHost(), as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    validate("answer", answer)
    assert answer["was_running"] is False
