"""A script of some of the real steps, put together as nbserver.render.powershell does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbserver.render.body import Body
from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, step_folder


def script_of(settings: dict[str, Any], lock: Sequence[str], steps: Sequence[str]) -> Script:
    """The script with `steps` only. `openssl` and `python` are needed by those that ask for their programs."""
    names, suffix = PRELUDE["ps_scripts"]
    files = [*(f"prelude/{name}" for name in names), *(f"steps/{name}" for name in steps), "main"]
    body = Body.joined([step_folder("ps_scripts").joinpath(f"{name}{suffix}").read_bytes().decode("ascii") for name in files], steps)
    return Script.joined(settings, head(settings, tuple(lock), body), body)
