"""A Windows host with Python 3.12 and with 3.13, the default: the shipped lock, the server, a kernel that draws."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.boxes import artifacts, newer_python
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_python import PYTHON_3_12, PYTHON_3_13, WindowsPython
from tests.checkout import SOURCE
from tests.ports import free_port
from tests.site import Site, steps

LOCKS = SOURCE / "nbserver" / "catalog" / "data" / "locks"
PASSWORD = "Tr0ub4dor"


@pytest.mark.second_tier("installs a Windows host with the shipped lock, twice")
@pytest.mark.skipif(not shutil.which(newer_python.COMPILER), reason=f"needs {newer_python.COMPILER} (gcc-mingw-w64-x86-64)")
@pytest.mark.parametrize("python", [PYTHON_3_12, PYTHON_3_13], ids=lambda python: python.branch)
def test_the_server_draws_with_a_newer_python(python: WindowsPython, tmp_path: Path) -> None:
    lock = LOCKS / f"windows-x64-python{python.branch}.txt"
    wheels = functools.partial(artifacts.wheels, python=python.branch)
    with (
        Mirror(lock, wheels=wheels, python=python) as mirror,
        prefix_folder(tmp_path) as prefix,
        WindowsBox.create(prefix) as host,
        host.endpoint(auth=["negotiate"], https=True, password=PASSWORD) as endpoint,
    ):
        newer_python.put_libraries(prefix)
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="correct horse")
        mirror.write_catalog(tmp_path / "site-catalog.toml", whole_python=True)
        for command, code in (("plan", 4), ("apply", 0), ("plan", 0)):
            done = site.run(command, "win1")
            assert done.returncode == code, done.stdout + done.stderr
        done = site.run("verify", "win1", "--png", "pictures", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.splitlines()[-1])["hosts"]["win1"]
        assert found["versions"]["python"] == python.version
        with Image.open(tmp_path / "pictures" / "win1.png") as image:
            assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 100
        done = site.run("undo", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"python", "packages", "service"} <= set(steps(site.last_events(), "restored"))
