"""The files in ps_scripts and linux_scripts, in the order that they have in a script."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PRELUDE = {
    "ps_scripts": (
        (
            "run messages hashes events envelope lock paths record registry path_entries files removal data_folders scope starter programs openssl processes downloads "
            "reboots installers tasks firewall services port_process certificates certificate_program certificate_sources"
        ).split(),
        ".ps1",
    ),
    "linux_scripts": (
        "run json messages events envelope lock record programs paths locations folders files state_folder data_folders files_of_service users packages apt zypper units firewall processes tls scope starter service port host_checks foreign_configuration environment installer_settings".split(),
        ".sh",
    ),
}
STEPS = {
    "ps_scripts": "preflight tls ie_esc python vc_redist openssl packages path certificate notebook takeover service firewall check cleanup".split(),
    "linux_scripts": "preflight python packages openssl user certificate notebook service firewall check cleanup".split(),
}

_TITLE = re.compile(r"^(?:Add-Step|step) (\w+) '([^']+)'", re.MULTILINE)


def read_body(kind: str) -> tuple[str, tuple[str, ...]]:
    """Return the body for `kind` (prelude, steps, and main, unchanged, separated by an empty line) and the names of its steps."""
    prelude, suffix = PRELUDE[kind]
    steps = STEPS[kind]
    folder = step_folder(kind)
    names = [*(f"prelude/{name}" for name in prelude), *(f"steps/{name}" for name in steps), "main"]
    parts = [folder.joinpath(f"{name}{suffix}").read_bytes().decode("ascii").replace("\r\n", "\n") for name in names]
    return "\n".join(parts), tuple(steps)


def read_titles(kind: str) -> list[tuple[str, str]]:
    """Return the (name, title) of each step, in order, as the steps declare them."""
    text, _ = read_body(kind)
    return _TITLE.findall(text)


def step_folder(kind: str) -> Traversable:
    """Return the folder with the files of `kind`: in the installed package, or at the top of a checkout."""
    installed = resources.files("nbserver").joinpath(kind)
    return installed if installed.is_dir() else Path(__file__).parents[3] / kind
