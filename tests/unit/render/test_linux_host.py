"""The script of this machine, where it is a Linux one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nbserver.catalog.linux_lock import load as load_lock
from nbserver.inventory import local_linux_host
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.linux_host import render

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


@pytest.fixture(autouse=True)
def no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that user scope is the default of root too, who may run the tests."""
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path / "no systemd")


def test_the_script_names_no_user_and_no_folder_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = []
    for home in ("/home/anna", "/home/bert"):
        monkeypatch.setenv("HOME", home)
        scripts.append(render(LocalLinuxHost(), load_lock()).text)
    assert scripts[0] == scripts[1] and "NB_SCOPE='user'" in scripts[0] and "NB_NOTEBOOK_DIRECTORY='~/notebooks'" in scripts[0]
    assert "sudo bash" not in scripts[0].partition("shellcheck")[0]
