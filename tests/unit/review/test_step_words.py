"""Every step has words, and the words name only settings that its hosts have."""

from __future__ import annotations

import json
import re

import pytest

from nbserver.approval.reference import ReleasedBody
from nbserver.review.settings_text import filled
from nbserver.review.statements import flat
from nbserver.review.step_words import WORDS
from tests import golden, rendered_folders
from tests.checkout import CHECKOUT

BODIES = [(system, scope) for system in ("Windows", "Linux") for scope in ("machine", "user")]


@pytest.mark.parametrize(("system", "scope"), BODIES)
def test_every_step_says_what_it_changes_how_to_see_it_and_how_to_undo_it(system: str, scope: str) -> None:
    words = WORDS[system, scope]
    assert list(words) == [name for name, _ in ReleasedBody.load(system, scope).titles]
    for name, said in words.items():
        assert said.changes and said.sees, name
        assert said.undoes or said.changes.startswith("Nothing"), name
        assert not any(text.endswith(".") and not text.endswith("...") for text in (said.changes, said.sees, said.undoes)), name


def test_the_words_name_the_startup_task_of_a_step_that_restores_something() -> None:
    steps = {path.stem for path in (CHECKOUT / "ps_scripts/steps").glob("*/*.ps1") if "Add-ClosingTask" in path.read_text("utf-8")}
    assert steps == {"ie_esc"}
    for step in steps:
        said = WORDS["Windows", "machine"][step]
        for text in (said.changes, said.sees, said.undoes):
            assert f"nbserver-close-{step}" in text
        assert "as SYSTEM" in said.changes


@pytest.mark.parametrize(("system", "scope"), BODIES)
def test_the_words_name_settings_that_exist(system: str, scope: str) -> None:
    settings = {("Windows", "machine"): "least", ("Linux", "machine"): "linux-least"}.get((system, scope))
    if settings:
        values = next(script.settings for script in golden.scripts() if script.host == settings)
    else:
        files = rendered_folders.windows_user() if system == "Windows" else rendered_folders.linux_user()
        values = next(iter(json.loads(files["manifest.json"])["hosts"].values()))["settings"]
    for said in WORDS[system, scope].values():
        for text in (said.changes, said.sees, said.undoes):
            assert "{" not in filled(text, [dict(flat(values))])


@pytest.mark.parametrize(("page", "system"), [("windows.md", "Windows"), ("linux.md", "Linux")])
def test_the_table_in_the_documentation_has_the_same_steps(page: str, system: str) -> None:
    text = (CHECKOUT / "docs" / page).read_text("utf-8").partition("## What runs on my host")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(WORDS[system, "machine"])


# What the words call each requirement of the step preflight; "" for one that only warns.
REQUIREMENTS = {
    "address": "address",
    "architecture": "processor",
    "clock": "clock",
    "disk_space": "disk",
    "distribution": "distribution",
    "execution_policy": "execution policy",
    "files": "folders",
    "folders_writable": "file systems",
    "free_inodes": "disk",
    "name_resolution": "name resolution",
    "notebook_access": "folders",
    "notebook_folder": "folder",
    "notebook_port": "port",
    "other_configuration": "",
    "own_folders": "folders",
    "process": "PowerShell",
    "programs": "programs",
    "restart": "",
    "rights": "rights",
    "service_user": "account of the service",
    "shell_memory": "memory limit",
    "smart_app_control": "",
    "systemd": "systemd",
    "universal_runtime": "Universal C Runtime",
    "windows_version": "Windows release",
    "writable_system": "file systems",
}


@pytest.mark.parametrize(("system", "scope"), BODIES)
def test_the_words_of_preflight_name_everything_that_it_refuses(system: str, scope: str) -> None:
    folder, file = ("ps_scripts", "preflight.ps1") if system == "Windows" else ("linux_scripts", "preflight.sh")
    text = (CHECKOUT / folder / "steps" / scope / file).read_text("utf-8")
    required = re.findall(r"^ +(?:require|Assert-Requirement) (\w+)", text, re.MULTILINE)
    assert required
    listed = WORDS[system, scope]["preflight"].changes.partition(": ")[2]
    assert [name for name in required if REQUIREMENTS[name] not in listed] == []


@pytest.mark.parametrize(("system", "scope"), BODIES)
def test_the_words_of_cleanup_say_that_the_previous_environment_stays(system: str, scope: str) -> None:
    assert "previous" in WORDS[system, scope]["cleanup"].changes


def test_several_values_are_listed_and_many_are_named_by_their_key() -> None:
    hosts = [{"notebook.port": str(port)} for port in (1, 2, 2)]
    assert filled("on {notebook_port}", hosts) == "on 1 or 2"
    assert filled("on {notebook_port}", [{"notebook.port": str(port)} for port in range(4)]) == "on the notebook.port of each host"
    assert filled("{a_b}", [{"a.b": '["x", "y"]'}]) == "x, y" and filled("{a_b}", [{"a.b": "[]"}]) == "none"
    assert filled("{a_b}", [{"a.b": '"\\u0430{c.d}"'}]) == "\\u0430{c.d}"
