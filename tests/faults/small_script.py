"""The small script, put together as nbserver.render.powershell does it: header, settings, lock, prelude, steps, main."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbserver.render.body import Body
from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, read_part
from tests.some_steps import shared_settings

FOLDER = Path(__file__).parent / "steps"
STEPS = ("guard", "text", "path", "place")  # guard is a bracket


def small_script(host: str, steps: Mapping[str, Path] | None = None, **more: Any) -> Script:
    """The script of `host`; `steps` are others than STEPS, each with its folder, and `more` are settings."""
    folders = dict(steps or dict.fromkeys(STEPS, FOLDER))
    prelude = [read_part("ps_scripts", f"prelude/{name}") for name in PRELUDE["ps_scripts", "machine"]]
    parts = [(folder / f"{name}.ps1").read_text("ascii") for name, folder in {"gates": FOLDER, **folders}.items()]
    body = Body.joined([*prelude, *parts, read_part("ps_scripts", "main")], tuple(folders))
    settings = {**shared_settings(host), **more}
    return Script.joined(settings, head(settings, (), body), body)
