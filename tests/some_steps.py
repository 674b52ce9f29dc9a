"""A script of some of the real steps, put together as nbserver.render.powershell does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbserver import __version__
from nbserver.render.body import Body
from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, STEPS, read_part


def shared_settings(host: str) -> dict[str, Any]:
    """The settings that every script needs, whatever its steps are."""
    return {
        "host": host,
        "release": __version__,
        "reboot": "never",
        "scope": "machine",
        "skip": [],
        "notebook": {"directory": r"%ProgramData%\nbserver\notebooks"},
    }


def script_of(settings: dict[str, Any], lock: Sequence[str], steps: Sequence[str]) -> Script:
    """The script with `steps` only. `openssl` and `python` are needed by those that ask for their programs."""
    paths = {name.rpartition("/")[2]: name for name in STEPS["ps_scripts", "machine"]}
    files = [*(f"prelude/{name}" for name in PRELUDE["ps_scripts", "machine"]), *(f"steps/{paths[name]}" for name in steps), "main"]
    body = Body.joined([read_part("ps_scripts", name) for name in files], steps)
    return Script.joined(settings, head(settings, tuple(lock), body), body)
