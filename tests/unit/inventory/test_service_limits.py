"""The limits of the service: what is taken, what is refused, and what a script gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbserver.base.errors import InventoryError
from nbserver.catalog.linux_lock import load as load_lock
from nbserver.inventory import reader
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.service_limits import memory_limit, processor_quota, task_limit
from nbserver.render.linux_host import render

HOST = {"name": "l", "system": "linux", "address": "l", "user": "u", "notebook": {"password": {"env": "N"}}}
INVENTORY = """[hosts.a]
system = "linux"
address = "a"
user = "u"
notebook.password.env = "N"
"""


def limits(**service: object) -> dict[str, object]:
    script = render(LinuxHost.model_validate({**HOST, "service": service}), load_lock())
    return dict(script.settings["service"])


def test_the_defaults_leave_something_to_the_host() -> None:
    assert limits() == {"memory_max": "90%", "tasks_max": "15%", "cpu_quota": "infinity"}


@pytest.mark.parametrize("value", ["10%", "100%", "256M", "8G", "1T", "999999T", "infinity"])
def test_memory(value: str) -> None:
    assert limits(memory_max=value)["memory_max"] == value


@pytest.mark.parametrize("value", [64, 4194304, "1%", "100%", "infinity"])
def test_tasks(value: int | str) -> None:
    assert limits(tasks_max=value)["tasks_max"] == value


@pytest.mark.parametrize("value", ["10%", "50%", "200%", "819200%", "infinity"])
def test_processor_time(value: str) -> None:
    assert limits(cpu_quota=value)["cpu_quota"] == value


def test_in_user_scope_there_are_none() -> None:
    script = render(LocalLinuxHost(scope="user"), load_lock())
    assert script.settings["service"] == {"memory_max": None, "tasks_max": None, "cpu_quota": None}
    assert "NB_SERVICE_MEMORY_MAX=''\n" in script.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('memory_max = "255M"', 'must be at least "256M"'),
        ('memory_max = "9%"', 'must be a percentage from "10%" to "100%"'),
        ('memory_max = "101%"', "must be a percentage"),
        ('memory_max = "8 G"', 'a size such as "8G"'),
        ('memory_max = "8GB"', 'a size such as "8G"'),
        ('memory_max = "1000000G"', 'a size such as "8G"'),
        ('memory_max = "0"', "must be a percentage"),
        ('memory_max = "Infinity"', 'or "infinity"'),
        ("memory_max = 8", "service.memory_max: expected text, found a number"),
        ("tasks_max = 63", "must be a whole number from 64 to 4194304"),
        ("tasks_max = 4194305", "must be a whole number from 64 to 4194304"),
        ("tasks_max = true", "service.tasks_max: must be a whole number, a percentage"),
        ("tasks_max = 1.5", "service.tasks_max: must be a whole number, a percentage"),
        ('tasks_max = "0%"', 'must be a whole number, a percentage from "1%" to "100%"'),
        ('tasks_max = "100"', "must be a whole number"),
        ('cpu_quota = "9%"', "must be a whole percentage of one CPU"),
        ('cpu_quota = "819201%"', "must be a whole percentage of one CPU"),
        ('cpu_quota = "1.5%"', "must be a whole percentage of one CPU"),
        ('cpu_quota = "200"', 'such as "200%" for two CPUs'),
        ("memory = 1", 'service: unknown key (did you mean "memory_max"?)'),
    ],
)
def test_what_is_refused(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_text(f"{INVENTORY}service.{line}\n", encoding="utf-8")
    with pytest.raises(InventoryError) as error:
        reader.load(path)
    assert words in str(error.value) and "nbserver.toml:6:" in str(error.value)


AROUND = st.sampled_from(["", "\n", "\r", " ", "\x00", "%", "\u0665", "\u00b2"]) | st.text(max_size=2)


@given(st.tuples(AROUND, st.sampled_from(["50%", "8G", "512", "infinity", "\u0665\u0660%"]), AROUND).map("".join))
@example("50%")
@example("8G")
@example("512")
@example("infinity")
def test_no_text_gets_another_line_into_the_unit(text: str) -> None:
    for check in (memory_limit, task_limit, processor_quota):
        try:
            found = str(check(text))
        except ValueError:
            continue
        assert re.fullmatch("[0-9A-Za-z]+%?", found)
