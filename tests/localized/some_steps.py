"""A script of some of the real steps, put together as installer.script does it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from installer.script import PARAMETERS, Script, body_sha256, header, lock_block, settings_block
from installer.step_files import PRELUDE, step_folder


def script_of(settings: dict[str, Any], lock: Sequence[str], steps: Sequence[str]) -> Script:
    """The script with `steps` only. `openssl` and `python` are needed by those that ask for their programs."""
    names, suffix = PRELUDE["ps_scripts"]
    files = [*(f"prelude/{name}" for name in names), *(f"steps/{name}" for name in steps), "main"]
    body = "\n".join(step_folder("ps_scripts").joinpath(f"{name}{suffix}").read_bytes().decode("ascii") for name in files)
    text = header(settings, tuple(steps)) + PARAMETERS + settings_block(settings) + lock_block(tuple(lock)) + body
    return Script(
        host=settings["host"], text=text, settings=settings, steps=tuple(steps),
        sha256=hashlib.sha256(text.encode("ascii")).hexdigest(), body_sha256=body_sha256(body),
    )  # fmt: skip
