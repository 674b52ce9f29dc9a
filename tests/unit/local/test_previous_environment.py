"""The previous environment of the server of this machine: what is read, and what is not believed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nbserver.local import previous_environment
from nbserver.local.places import LinuxPlaces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux hosts keep their previous environment")


def test_what_an_upgrade_has_kept(tmp_path: Path) -> None:
    where = LinuxPlaces(tmp_path / "configuration", tmp_path / "data", tmp_path / "unit", ("systemctl",))
    assert previous_environment.read(where) is None
    environment = tmp_path / "env-7fefc45f"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin/python"
    where.previous.parent.mkdir(parents=True)
    where.previous.write_text(f"{python}\n")
    assert previous_environment.read(where) is None, "its Python is missing"
    python.symlink_to(sys.executable)
    assert previous_environment.read(where) == {"environment": str(environment), "lock": "", "installed": ""}
    mark = environment / "nbserver.lock"
    mark.write_text("7fefc45f" * 8 + "\nnumpy.dist-info\n")
    os.utime(mark, (1_700_000_000, 1_700_000_000))
    expected = {"environment": str(environment), "lock": "7fefc45f" * 8, "installed": "2023-11-14T22:13:20Z"}
    assert previous_environment.read(where) == expected
    where.previous.write_text(f"{python}/../../../x\n")
    assert previous_environment.read(where) is None, "not a path that a run has written"
    where.previous.write_text(f"{python}\n")
    where.switch.mkdir()
    assert previous_environment.read(where) is None, "an upgrade is not complete"
