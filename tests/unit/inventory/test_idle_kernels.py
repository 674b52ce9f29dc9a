"""notebook.cull_idle: which times are accepted, and what they are in seconds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nbserver.inventory.idle_kernels import seconds
from nbserver.inventory.linux_host import LinuxNotebookSettings
from nbserver.inventory.local_linux_host import LocalLinuxNotebookSettings
from nbserver.inventory.windows_tables import NotebookSettings
from nbserver.render.settings import Notebook

PASSWORD = {"env": "X"}


@pytest.mark.parametrize(("text", "expected"), [("off", 0), ("10m", 600), ("8h", 28_800), ("2d", 172_800), ("31d", 2_678_400)])
def test_times_become_seconds_of_the_script(text: str, expected: int) -> None:
    for model in (NotebookSettings, LinuxNotebookSettings, LocalLinuxNotebookSettings):
        found = model.model_validate({"password": PASSWORD, "cull_idle": text})
        assert seconds(text) == found.cull_idle_seconds == Notebook.of(found).cull_idle_seconds == expected
    assert LocalLinuxNotebookSettings().cull_idle_seconds == 0


@pytest.mark.parametrize("text", ["", "8", "8H", "8 h", "0h", "8h\n", "9m", "32d", "99999d", "-1h", "on"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="must "):
        NotebookSettings.model_validate({"password": PASSWORD, "cull_idle": text})
