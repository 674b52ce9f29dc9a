"""Scripts made of the real prelude, some steps and main, for tests of these parts."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nbserver.render.bash import settings_block
from nbserver.render.step_files import PRELUDE, STEPS
from tests.checkout import CHECKOUT

FILES = CHECKOUT / "linux_scripts"
SETTINGS: dict[str, Any] = {
    "architecture": "x64",
    "certificate": {"days": 90, "names": ["lin1.example.com", "192.0.2.7", "2001:db8::7"]},
    "downloads": {"mirror": None, "proxy": None, "source": "direct"},
    "firewall": {"remote_addresses": ["Any"]},
    "host": "lin1",
    "notebook": {
        "collaboration": False,
        "cull_idle_seconds": 0,
        "directory": "/srv/people/notebooks",
        "interface": "notebook",
        "ip": "*",
        "language": "en",
        "port": 9999,
        "session": 12,
    },
    "packages": {"index_url": None, "installer": "auto", "lock_sha256": "0" * 64, "source": "auto"},
    "python": {"program": None, "version": None},
    "release": "0.1.0",
    "scope": "machine",
    "service": {"cpu_quota": "infinity", "memory_max": "90%", "tasks_max": "15%"},
    "skip": [],
    "system": "linux",
}

NO_PAGE = "FIRST_PAGE=''\n"  # a test that is about it sets another


def require_bash() -> str:
    """The program, or the test is skipped."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("this needs bash")
    return bash


@functools.cache
def prelude(scope: str = "machine") -> str:
    return "\n".join((FILES / "prelude" / f"{name}.sh").read_text("ascii") for name in PRELUDE["linux_scripts", scope])


def step(name: str, scope: str = "machine") -> str:
    """A step of the product."""
    (file,) = (each for each in STEPS["linux_scripts", scope] if each.rpartition("/")[2] == name)
    return (FILES / "steps" / f"{file}.sh").read_text("ascii")


def script(steps: Iterable[str], **settings: Any) -> str:
    """A whole script with these steps, given as text."""
    whole = {**SETTINGS, **settings}
    return "\n".join([settings_block(whole), NO_PAGE, prelude(whole["scope"]), *steps, (FILES / "main.sh").read_text("ascii")])


def run(code: str, *arguments: bytes | str, input: bytes = b"", scope: str = "machine") -> subprocess.CompletedProcess[bytes]:
    """Runs bash on the prelude and `code` behind it, events on standard output. The arguments are $1, $2, ..."""
    text = settings_block({**SETTINGS, "scope": scope}) + NO_PAGE + prelude(scope) + "exec 3>&1\n" + code
    with tempfile.TemporaryDirectory() as folder:  # Linux limits one argument to 128 KiB, so `bash -c` is not enough
        file = Path(folder) / "test.sh"
        file.write_text(text, encoding="utf-8", newline="\n")
        command = [require_bash(), str(file), *arguments]
        return subprocess.run(command, input=input, capture_output=True, check=False, timeout=300)
