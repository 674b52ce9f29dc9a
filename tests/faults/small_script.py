"""The small script, put together as nbserver.render.powershell does it: header, settings, lock, prelude, steps, main."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbserver import __version__
from nbserver.render.body import Body
from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, step_folder

FOLDER = Path(__file__).parent / "steps"
STEPS = ("guard", "text", "path", "place")  # guard is a bracket


def small_script(host: str, steps: Mapping[str, Path] | None = None, **more: Any) -> Script:
    """The script of `host`; `steps` are others than STEPS, each with its folder, and `more` are settings."""
    folders = dict(steps or dict.fromkeys(STEPS, FOLDER))
    names, suffix = PRELUDE["ps_scripts"]
    shipped = step_folder("ps_scripts")
    prelude = [shipped.joinpath(f"prelude/{name}{suffix}").read_bytes().decode("ascii") for name in names]
    parts = [(folder / f"{name}.ps1").read_text("ascii") for name, folder in {"gates": FOLDER, **folders}.items()]
    body = Body.joined([*prelude, *parts, shipped.joinpath(f"main{suffix}").read_bytes().decode("ascii")], tuple(folders))
    settings: dict[str, Any] = {"host": host, "release": __version__, "reboot": "never", "scope": "machine", "skip": [], **more}
    return Script.joined(settings, head(settings, (), body), body)
