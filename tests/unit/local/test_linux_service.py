"""What a server that does not stop on Linux is reported with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nbserver.base.errors import HostError
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.local import linux_service
from nbserver.local.linux_service import LinuxService


@pytest.mark.parametrize(("error", "reason"), [("Access denied\n", "Access denied"), ("", "no error output")])
def test_a_unit_that_does_not_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str, reason: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(linux_service, "exists", lambda path, denied: True)
    monkeypatch.setattr(linux_service, "_systemctl", lambda where, *words: subprocess.CompletedProcess(words, 1, "", error))
    with pytest.raises(HostError) as refused:
        LinuxService(LocalLinuxHost.model_validate({"scope": "user"})).stop()
    assert f"systemd could not stop the notebook server: {reason}. " in str(refused.value)
    assert str(refused.value).endswith("check: systemctl --user status nbserver.service")


def test_a_process_that_survives_sigkill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    signals: list[int] = []
    monkeypatch.setattr(linux_service, "STOP_SECONDS", -1.0)
    monkeypatch.setattr(linux_service, "_running", lambda file: 4711)
    monkeypatch.setattr(linux_service.os, "kill", lambda pid, number: signals.append(number))
    with pytest.raises(HostError, match=r"\(process 4711\) is still running after SIGKILL\. Check its state with: ps .* -p 4711"):
        linux_service._end(4711, tmp_path / "process", "local")
    assert linux_service.signal.SIGKILL in signals


def test_limits_of_a_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = "TasksMax=512\nMemoryMax=8589934592\n"
    monkeypatch.setattr(linux_service, "_systemctl", lambda where, *words: subprocess.CompletedProcess(words, 0, shown, ""))
    machine = LocalLinuxHost.model_validate({"scope": "machine", "service": {"memory_max": "8G", "tasks_max": 512}})
    assert LinuxService(machine).limits() == {
        "memory_max": {"asked": "8G", "now": "8589934592"},
        "tasks_max": {"asked": "512", "now": "512"},
        "cpu_quota": {"asked": "infinity", "now": ""},
    }
    assert LinuxService(LocalLinuxHost.model_validate({"scope": "user"})).limits() is None
