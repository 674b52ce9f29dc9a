"""A lesson that a test copies to a host and back: names in French and Japanese, an empty file, and one of several pieces."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("Leçon 1/été à Genève.ipynb", "日本語/音の分析.ipynb", "empty.txt", "data/large.bin")
Run = Callable[..., subprocess.CompletedProcess[str]]


def write(folder: Path) -> dict[str, str]:
    """Write the lesson into FOLDER/lesson, and return its hashes."""
    for number, name in enumerate(NAMES):
        path = folder / "lesson" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 700_000 if "large" in name else 0 if "empty" in name else 1000
        path.write_bytes(bytes((number + at * at) % 251 for at in range(1000)) * (size // 1000))
    return hashes(folder / "lesson")


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder, except for hidden ones."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {path: sha256 for path, sha256 in found.items() if not any(name.startswith(".") for name in path.split("/"))}


def copied(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a command reports with --json, and its exit code."""
    answers = [json.loads(line) for line in done.stdout.splitlines() if '"event": "notebooks"' in line]
    assert answers, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return {"code": done.returncode, "copied": sorted(answers[-1]["copied"]), "not_copied": answers[-1]["not_copied"]}


def there_and_back(run: Run, folder: Path, host: str, notebooks: Path) -> dict[str, Any]:
    """Push the lesson, change a file on both sides, push again, and pull. `notebooks` is the host's folder, seen from this machine."""
    before, others = hashes(notebooks), {path.name for path in notebooks.iterdir()}
    told: dict[str, Any] = {"hashes": write(folder)}
    told["push"] = copied(run("notebooks", "push", "lesson", host, "--json"))
    told["there"] = {path: sha256 for path, sha256 in hashes(notebooks).items() if path not in before}
    told["owners"] = {(notebooks / name).stat().st_uid for name in NAMES}
    (notebooks / NAMES[0]).write_bytes(b"work of a person")
    (folder / "lesson" / NAMES[0]).write_bytes(b"a new edition")
    told["again"] = copied(run("notebooks", "push", "lesson", host, "--json"))
    told["kept"] = (notebooks / NAMES[0]).read_bytes()
    told["pull"] = copied(run("notebooks", "pull", host, "back", "--json"))
    told["back"], told["host"] = hashes(folder / "back" / host), hashes(notebooks)
    for path in [path for path in notebooks.iterdir() if path.name not in others]:  # an undo removes the folder only if it is empty
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return told


def require(told: dict[str, Any]) -> None:
    """What must be true of it."""
    assert told["push"] == {"code": 0, "copied": sorted(NAMES), "not_copied": {}}
    assert told["there"] == told["hashes"]
    assert told["again"] == {"code": 4, "copied": [], "not_copied": {NAMES[0]: "conflict"}} and told["kept"] == b"work of a person"
    assert told["pull"]["code"] == 0 and told["back"] == told["host"]
