"""A folder that cannot be written, also by root: noticed before any host is contacted, and nothing has to be written there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import PYTHON_PATH
from tests.processes.test_output import INVENTORY

# Runs the rest of its arguments with their working directory read-only, in a mount namespace of its own.
READ_ONLY = ("unshare", "--mount", "sh", "-c", 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && exec "$@"', "sh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    if subprocess.run([*READ_ONLY, "true"], cwd=inventory, capture_output=True, check=False).returncode:
        pytest.skip("needs root, and permission to mount")
    (inventory / "nbserver.toml").write_text(INVENTORY)
    return inventory


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and what was printed. A host that is contacted answers at once, and has a certificate."""
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "X": "correct horse battery", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*READ_ONLY, sys.executable, "-m", "tests.processes.answering", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_is_noticed_before_any_host_is_contacted(folder: Path, tmp_path: Path) -> None:
    runs, known = ("--runs", str(tmp_path / "runs")), ("--known", str(tmp_path / "known"))
    code, said = run(folder, "plan", "win1")
    assert code == 2 and "nbserver.known: could not write to the folder for known certificates (Read-only file system)" in said
    code, said = run(folder, "plan", "win1", *runs)
    assert code == 2 and "choose another file with --known" in said and not (tmp_path / "runs").exists()
    code, said = run(folder, "plan", "win1", *known)
    assert code == 2 and "could not write to the run directory" in said and "with --runs" in said
    code, said = run(folder, "apply", "win1", *known, *runs)
    assert code == 2 and "could not create the salt file: Read-only file system. Make the folder writable" in said
    code, said = run(folder, "verify", "win1", "--png", "pictures")
    assert code == 2 and "could not write to the folder for the plots (Read-only file system)" in said
    for command in (("backup", "win1", "-o", "win1.zip"), ("undo", "win1", "--with-notebooks")):
        code, said = run(folder, *command, *known, *runs)
        assert code == 2 and "could not write to the folder (Read-only file system). Choose another f" in said, said
    assert not (tmp_path / "runs").exists() and not (tmp_path / "known").exists()

    code, said = run(folder, "plan", "win1", *known, *runs)
    assert code == 0 and "win1  ok" in said, said
    assert list(json.loads((tmp_path / "known").read_text())["hosts"]) == ["win1"]
    assert list((tmp_path / "runs").glob("*/summary.json"))
