"""The script of this machine, where it is a Linux one."""

from __future__ import annotations

import sys

import pytest

from nbserver.catalog.linux_lock import load as load_lock
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.linux_host import render
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


def test_the_script_names_no_user_and_no_folder_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = []
    for home in ("/home/anna", "/home/bert"):
        monkeypatch.setenv("HOME", home)
        scripts.append(render(LocalLinuxHost(), load_lock()).text)
    assert scripts[0] == scripts[1] and "NB_SCOPE='user'" in scripts[0] and "NB_NOTEBOOK_DIRECTORY='~/notebooks'" in scripts[0]
    assert "sudo bash" not in scripts[0].partition("shellcheck")[0]
