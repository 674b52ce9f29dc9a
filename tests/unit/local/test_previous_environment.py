"""The previous environment of the server of this machine: what is read, and what is not believed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nbserver.local import previous_environment
from nbserver.local.places import LinuxPlaces, WindowsPlaces


@pytest.mark.skipif(sys.platform != "linux", reason="the Python of an environment is a link")
def test_what_an_upgrade_has_kept(tmp_path: Path) -> None:
    where = LinuxPlaces(tmp_path / "configuration", tmp_path / "data", tmp_path / "unit", ("systemctl",))
    assert previous_environment.on_linux(where) is None
    environment = tmp_path / "env-7fefc45f"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin/python"
    where.previous.parent.mkdir(parents=True)
    where.previous.write_text(f"{python}\n")
    assert previous_environment.on_linux(where) is None, "its Python is missing"
    python.symlink_to(sys.executable)
    assert previous_environment.on_linux(where) == {"environment": str(environment), "lock": "", "installed": ""}
    mark = environment / "nbserver.lock"
    mark.write_text("7fefc45f" * 8 + "\nnumpy.dist-info\n")
    os.utime(mark, (1_700_000_000, 1_700_000_000))
    expected = {"environment": str(environment), "lock": "7fefc45f" * 8, "installed": "2023-11-14T22:13:20Z"}
    assert previous_environment.on_linux(where) == expected
    where.previous.write_text(f"{python}/../../../x\n")
    assert previous_environment.on_linux(where) is None, "not a path that a run has written"
    where.previous.write_text(f"{python}\n")
    where.switch.mkdir()
    assert previous_environment.on_linux(where) is None, "an upgrade is not complete"


def test_what_an_upgrade_on_windows_has_kept(tmp_path: Path) -> None:
    where = WindowsPlaces(tmp_path / "state", tmp_path / "programs")
    assert previous_environment.on_windows(where) is None
    environment, base = where.programs / "env-3.13-7fefc45f", tmp_path / "python"
    (environment / "Scripts").mkdir(parents=True)
    where.previous.parent.mkdir(parents=True)
    base.mkdir()
    python = f"{where.programs}\\env-3.13-7fefc45f\\Scripts\\python.exe"
    where.previous.write_bytes(f"{python}\r\n".encode())
    (environment / "pyvenv.cfg").write_text(f"home = {base}\nversion = 3.13.1\n")
    (environment / "Scripts" / "python.exe").touch()
    mark = environment / "nbserver.lock"
    mark.write_text("7fefc45f" * 8 + "\nnumpy.dist-info\n")
    os.utime(mark, (1_700_000_000, 1_700_000_000))
    assert previous_environment.on_windows(where) is None, "the Python that it was created from is gone"
    (base / "python.exe").touch()
    expected = {"environment": f"{where.programs}\\env-3.13-7fefc45f", "lock": "7fefc45f" * 8, "installed": "2023-11-14T22:13:20Z"}
    assert previous_environment.on_windows(where) == expected
    where.previous.write_text(python.replace("programs", "others"))
    assert previous_environment.on_windows(where) is None, "not an environment of nbserver"
    where.previous.write_text(python)
    where.switch.mkdir()
    assert previous_environment.on_windows(where) is None, "an upgrade is not complete"
