"""What the kernels of a server whose environment is an administrator's say to people who install packages."""

from __future__ import annotations

import re
import subprocess
import sys

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
for cell in ("%pip install pandas", "!pip install pandas", "!python3 -m pip install x", "%conda install pandas", "%pip --version", "!echo pip install"):
    print(cell)
    shell.run_cell(cell)
"""


def test_both_systems_have_the_same_program() -> None:
    first, second = (re.search(r"# Start the notebook server.*?server\.start\(\)\n", text, re.DOTALL) for text in STARTERS.values())
    assert first and second and first[0] == second[0]


@pytest.mark.parametrize(("closed", "count"), [(True, 4), (False, 0)])
def test_pip_says_what_to_do_where_it_cannot_install(closed: bool, count: int) -> None:
    found = re.search(r"^NO_PACKAGES = .*?(?=^closed = )", STARTERS["linux_scripts"], re.DOTALL | re.MULTILINE)
    rest = re.search(r"^lines = \[\]\n.*?(?=\n\n)", STARTERS["linux_scripts"], re.DOTALL | re.MULTILINE)
    assert found and rest
    cells = CELLS if closed else CELLS.replace("install", "help")  # what would really install is not run
    code = f"{found[0]}closed = {closed}\n{rest[0]}\n{cells}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True).stdout
    assert said.count("add the package to packages.include in the inventory") == count
    assert re.search(r"^%pip --version\npip \d", said, re.MULTILINE), said
    if closed:
        assert "!echo pip install\npip install\n" in said, said
