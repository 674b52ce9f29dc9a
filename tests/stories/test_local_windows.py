r"""This machine, a Windows one: what its user types, from the first plan to undo. One story, told once a run of the tests.

It begins with `nbserver apply local` and a lock of small wheels. In the second tier, with `nbserver up` and the shipped lock: a real
server for this user alone, and a plot. The same packages draw on a Windows host in test_windows.py, and `up` on Linux in test_local_debian.py.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nbserver.verify.picture import check
from tests import canary, installer_options
from tests.boxes import windows_desktop
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows_desktop import Done, WindowsDesktop
from tests.faults.small_packages import write_whole_index
from tests.formats import validate
from tests.ports import free_port
from tests.served import served
from tests.tier import FULL

SET_UP = ("up",) if FULL else ("apply", "local", "--json")
OURS = ("users/*/nbserver-site/*", "users/*/notebooks")


class Story:
    """What happened, kept for the tests."""

    def __init__(self, desktop: WindowsDesktop, index_url: str, lock: list[str]) -> None:
        """Without a `lock` the packages are those of the shipped one."""
        self.desktop, self.index_url, self.port = desktop, index_url, free_port()
        self.home = desktop.host.path(f"C:\\users\\{desktop.user}")
        self.site, self.local = self.home / "nbserver-site", self.home / "AppData" / "Local"
        self.site.mkdir()
        (self.site / "small.lock.txt").write_text("".join(f"{line}\n" for line in lock))
        own_lock = 'packages.lock = "small.lock.txt"\n' if lock else ""
        (self.site / "nbserver.toml").write_text(f"[hosts.local]\nnotebook.port = {self.port}\n{own_lock}")
        for name, text in {"pip/pip.ini": installer_options.PIP, "uv/uv.toml": installer_options.UV}.items():
            file = self.home / "AppData" / "Roaming" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("[global]\n" + text if name.endswith("ini") else text)
        self.done: dict[str, Done] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.servers: dict[str, list[str]] = {}
        self.files: dict[str, set[str]] = {}
        self.leaks: dict[str, list[Path]] = {}
        self.picture = ""

    def run(self, name: str, *arguments: str) -> None:
        """A command of nbserver; packages come from where this user's pip is told to look."""
        self.done[name] = self.desktop.nbserver(*arguments, extra={"PIP_INDEX_URL": self.index_url}, timeout=1800, folder=self.site)

    def see(self, name: str) -> None:
        self.snapshots[name] = self.desktop.host.snapshot(OURS)
        self.servers[name] = [line for line in self.desktop.command_lines() if "\\AppData\\Local\\nbserver\\" in line]
        folder = self.local / "nbserver"
        self.files[name] = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}

    @property
    def password(self) -> str:
        done = self.done["set up"]
        found = re.search(r"^(?:Password +|.*shown only once\): )(\S+)", done.out + done.err, re.MULTILINE)
        assert found, done.out + done.err
        return found[1]

    def steps(self, name: str) -> dict[str, str]:
        """What a run with --json says of its steps."""
        lines = [json.loads(line) for line in self.done[name].out.splitlines()]
        for line in lines:
            validate("stream", line)
        found: dict[str, str] = lines[-1]["hosts"]["local"]["steps"]
        return found


@pytest.fixture(scope="module")
def story(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    if windows_desktop.missing():
        pytest.skip(windows_desktop.missing())
    mirror.behave()
    index = tmp_path_factory.mktemp("index")
    lock = [] if FULL else write_whole_index(index, mirror)
    with (
        served(index) as url,
        prefix_folder(tmp_path_factory.mktemp("desktop")) as prefix,
        closing(WindowsDesktop(prefix)) as desktop,
    ):
        told = Story(desktop, url if lock else mirror.index_url, lock)
        tell(told)
        yield told


def tell(told: Story) -> None:
    told.see("before")
    told.run("plan", "plan", "local")
    told.see("planned")
    told.run("set up", *SET_UP)
    told.see("set up")
    picture = told.site / "nbserver-runs" / "local.png"
    told.picture = "x".join(map(str, check(picture.read_bytes()))) if picture.exists() else ""
    told.leaks = canary.files_with({"password": told.password}, [told.home])
    told.run("status", "status", "--json")
    told.run("again", "apply", "local", "--json")
    told.run("stop", "stop", "local")
    told.run("status after stop", "status")
    told.see("stopped")
    told.run("apply after stop", "apply", "local", "--json")
    told.run("set-password", "set-password", "local")
    told.run("status at last", "status", "--json")
    (told.home / "notebooks" / "été.ipynb").write_bytes(b"{}")
    told.run("undo", "undo", "local", "--with-notebooks", "--json")
    told.run("status after undo", "status", "--json")
    told.see("undone")


def test_a_plan_changes_nothing(story: Story) -> None:
    assert story.done["plan"].code == 4 and not story.files["planned"]
    assert story.snapshots["planned"] == story.snapshots["before"]


def test_a_server_is_set_up_and_its_password_is_in_no_file(story: Story) -> None:
    done = story.done["set up"]
    assert done.code == 0, done.out + done.err
    assert re.fullmatch(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", story.password)
    assert not story.leaks["password"]


@pytest.mark.second_tier("installs all packages on this machine as a Windows one")
def test_up_ends_with_all_that_a_person_needs(story: Story) -> None:
    done = story.done["set up"]
    assert f"Address      https://localhost:{story.port}" in done.out
    assert "kernel         a kernel is running" in done.out and story.picture, done.out


def test_nothing_of_windows_is_touched(story: Story) -> None:
    for name in ("set up", "undone"):
        for kind in ("registry", "firewall", "services", "tasks", "running", "files"):
            assert story.snapshots[name][kind] == story.snapshots["before"][kind], (name, kind)


def test_its_files_are_for_its_user_only(story: Story) -> None:
    state = f"C:\\users\\{story.desktop.user}\\AppData\\Local\\nbserver\\state".lower()
    access = {path.lower(): sddl for path, sddl in story.snapshots["set up"]["acl"].items()}
    for folder in (state, f"{state}\\service"):
        assert re.fullmatch(
            r"(O:\S+?)?D:P(AI)?\(A;OICI;FA;;;SY\)\(A;OICI;FA;;;BA\)\(A;OICI;FA;;;S-1-5-21-[0-9-]+\)",
            access[folder].replace("LA)", "S-1-5-21-0)"),
        ), access[folder]


def test_the_server_outlives_what_started_it(story: Story) -> None:
    assert any("serve.py" in line for line in story.servers["set up"])
    found = json.loads(story.done["status"].out)
    validate("stream", found)
    assert (story.done["status"].code, found["ok"], found["by"], found["port"]) == (0, True, "background", story.port)
    assert found["fingerprint"] in story.done["set up"].out


def test_a_second_apply_finds_nothing_to_do(story: Story) -> None:
    assert story.done["again"].code == 0 and set(story.steps("again").values()) == {"unchanged"}


def test_stop_ends_the_server_and_all_of_it(story: Story) -> None:
    assert story.done["stop"].code == 0 and not story.servers["stopped"]
    assert story.done["status after stop"].code == 4 and "is not running" in story.done["status after stop"].out


def test_apply_starts_it_again_and_changes_nothing_else(story: Story) -> None:
    steps = story.steps("apply after stop")
    assert {step for step, word in steps.items() if word != "unchanged"} <= {"service", "check"} and steps["service"] == "changed"
    assert story.done["apply after stop"].err == "", "the password stays: none is made"


def test_another_password(story: Story) -> None:
    done = story.done["set-password"]
    made = re.search(r"shown only once\): (\S+)", done.err)
    assert done.code == 0 and made and made[1] != story.password
    assert json.loads(story.done["status at last"].out)["ok"] is True


def test_undo_takes_it_all_back(story: Story) -> None:
    assert story.done["undo"].code == 0 and set(story.steps("undo").values()) == {"restored"}
    left = {name for name in story.files["undone"] if not re.fullmatch(r"state(/(runs(/.*)?|record\.jsonl|lock))?", name)}
    assert not left and not (story.home / "notebooks").exists()
    (archive,) = story.site.glob("local-notebooks-*.zip")
    with zipfile.ZipFile(archive) as written:
        assert written.read("notebooks/été.ipynb") == b"{}"
    assert story.done["status after undo"].code == 4 and json.loads(story.done["status after undo"].out)["by"] == "none"
