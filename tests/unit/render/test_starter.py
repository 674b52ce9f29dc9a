"""What a server whose environment is an administrator's does differently: packages that people install, files that they delete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nbserver.render.step_files import read_part
from tests.notebook_fixtures import needs_notebook

pytestmark = needs_notebook
STARTERS = {kind: read_part(kind, "prelude/starter") for kind in ("linux_scripts", "ps_scripts")}
CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for line in lines:
    shell.run_cell(line)
for cell in cells:
    print(cell)
    shell.run_cell(cell)
"""
DELETE = """
import asyncio, os
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from traitlets.config import Config
manager = AsyncLargeFileManager(config=Config(own), root_dir=os.getcwd())
asyncio.run(manager.delete_file("a.ipynb"))
asyncio.run(manager.delete_file("folder"))
"""
REFUSED = (
    "%pip install no-such-package",
    "%pip  -q install no-such-package",
    "%uv pip install no-such-package",
    "%conda install no-such-package",
    "!pip install no-such-package",
    "!pip3 --quiet install no-such-package",
    "!python3 -m pip install no-such-package",
    '!"C:\\Program Files\\nbserver\\python.exe" -m uv pip install no-such-package',
)


def test_both_systems_have_the_same_program() -> None:
    first, second = (re.search(r"# Start the notebook server.*?server\.start\(\)\n", text, re.DOTALL) for text in STARTERS.values())
    assert first and second and first[0] == second[0]


@pytest.mark.parametrize(("closed", "count"), [(True, len(REFUSED)), (False, 0)])
def test_pip_says_what_to_do_where_it_cannot_install(closed: bool, count: int) -> None:
    found = re.search(r"^NO_PACKAGES = .*?(?=^closed = )", STARTERS["linux_scripts"], re.DOTALL | re.MULTILINE)
    rest = re.search(r"^lines = \[\]\n.*?(?=\n\n)", STARTERS["linux_scripts"], re.DOTALL | re.MULTILINE)
    assert found and rest
    cells = [*(cell if closed else cell.replace("install", "help") for cell in REFUSED), "%pip --version", "!echo pip install"]
    code = f"{found[0]}closed = {closed}\n{rest[0]}\ncells = {cells}\n{CELLS}"
    offline = {**os.environ, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}  # if it is not refused, nothing is installed either
    said = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=300, check=True).stdout
    assert said.count("add the package to packages.include in the inventory") == count
    assert re.search(r"^%pip --version\npip \d", said, re.MULTILINE), said
    if closed:
        assert "!echo pip install\npip install\n" in said, said


@pytest.mark.parametrize("closed", [True, False])
def test_only_a_user_has_a_trash(closed: bool, tmp_path: Path) -> None:
    """That of a service would fill the disk: nobody can open or empty it."""
    found = re.search(r"^NO_EXTENSIONS = .*?(?=\n\n\n)", STARTERS["linux_scripts"], re.DOTALL | re.MULTILINE)
    assert found
    notebooks, data = tmp_path / "notebooks", tmp_path / "data"
    (notebooks / "folder").mkdir(parents=True)
    for name in ("a.ipynb", "folder/b.ipynb"):
        (notebooks / name).touch()
    code = f"import importlib.util, shutil\nclosed, settings = {closed}, {{}}\n{found[0]}\n{DELETE}"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(data)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=notebooks, timeout=300, check=True)
    assert list(notebooks.iterdir()) == []
    trash = sorted(path.name for path in data.rglob("*.ipynb"))
    assert trash == ([] if closed else ["a.ipynb", "b.ipynb"])
