"""The small script, put together as installer.script does it: header, settings, lock, prelude, steps, main."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from installer import __version__
from installer.script import PARAMETERS, Script, body_sha256, header, lock_block, settings_block
from installer.step_files import PRELUDE, step_folder

FOLDER = Path(__file__).parent / "steps"
STEPS = ("guard", "text", "path", "place")  # guard is a bracket


def small_script(host: str) -> Script:
    """The script of `host`."""
    names, suffix = PRELUDE["ps_scripts"]
    shipped = step_folder("ps_scripts")
    prelude = [shipped.joinpath(f"prelude/{name}{suffix}").read_bytes().decode("ascii") for name in names]
    steps = [(FOLDER / f"{name}.ps1").read_text("ascii") for name in ("gates", *STEPS)]
    body = "\n".join([*prelude, *steps, shipped.joinpath(f"main{suffix}").read_bytes().decode("ascii")])
    settings: dict[str, Any] = {"host": host, "release": __version__, "skip": []}
    text = header(settings, STEPS) + PARAMETERS + settings_block(settings) + lock_block(()) + body
    return Script(
        host=host, text=text, settings=settings, steps=STEPS, sha256=hashlib.sha256(text.encode("ascii")).hexdigest(), body_sha256=body_sha256(body)
    )
