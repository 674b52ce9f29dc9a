"""`notebook.collaboration = true` on a Debian host: two browsers with the same notebook see each other's typing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import browser
from tests.boxes.linux.host import LinuxBox
from tests.package_sites import PASSWORD, debian


@pytest.mark.second_tier("installs a Debian host with all packages: two minutes")
@pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())
def test_two_browsers_see_each_others_typing(tmp_path: Path, debian_host: Callable[[], LinuxBox]) -> None:
    with debian(tmp_path, debian_host) as machine:
        machine.site.settings["notebook.collaboration"] = True
        assert "  added jupyter-collaboration " in machine.lock()
        done = machine.site.run("apply", "lin1")
        assert done.returncode == 0, done.stdout + done.stderr
        pin = browser.spki(machine.certificate)
        first, second = browser.type_in_both(machine.url, pin, PASSWORD, "Welcome.ipynb", tmp_path / "second.png")
        assert first == second and "typed_by_the_first\ntyped_by_the_second" in first
