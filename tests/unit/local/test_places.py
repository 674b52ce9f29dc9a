"""Where the script of this machine puts things."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.bash import settings_block
from tests.linux import parts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


def test_the_places_are_those_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbserver.local.places import linux_places

    names = "CONFIGURATION_FOLDER DATA_FOLDER UNIT_FOLDER PROCESS_FILE".split()
    printed = " ".join(f'"${{{name}-}}"' for name in names)
    for scope in ("user", "machine"):
        monkeypatch.setenv("HOME", str(tmp_path))
        text = (
            settings_block({**parts.SETTINGS, "scope": scope}) + parts.prelude(scope) + f"printf '%s\\n' {printed} \"${{SYSTEMCTL[*]}}\"\n"
        )
        done = subprocess.run([parts.require_bash(), "-s"], input=text, capture_output=True, text=True, check=True)
        found = linux_places(LocalLinuxHost.model_validate({"scope": scope}))
        assert done.stdout.split("\n")[:5] == [
            str(found.configuration),
            str(found.data),
            str(found.unit.parent),
            str(found.process) if scope == "user" else "",
            " ".join(found.systemctl),
        ]
