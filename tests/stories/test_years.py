"""The years of a Debian and a Windows host with packages of the site: lock, upgrade, log, rollback, and a fresh host from a backup."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import lesson
from tests.boxes.linux.host import LinuxBox
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.task_scheduler import TASKS
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import run as run_program
from tests.faults.small_packages import put_notebook, put_package, put_uv
from tests.ports import free_port
from tests.served import served
from tests.site import LinuxSite, Site

pytestmark = pytest.mark.second_tier("changes a Debian and a Windows host a dozen times: minutes of processor time")
# What stands for the packages of the notebook server, which every lock has: empty modules.
MODULES = {
    "cryptography": "cryptography/__init__.py",
    "ipykernel": "ipykernel/kernelapp.py",
    "ipython": "IPython/__init__.py",
    "matplotlib": "matplotlib/__init__.py",
    "numpy": "numpy/__init__.py",
    "pyzmq": "zmq/__init__.py",
    "tornado": "tornado/web.py",
}
GREET = "import greeting; print(greeting.VERSION)"
UNIT = "/etc/systemd/system/nbserver.service"
USED = f"""
"$(sed -n 's/^ExecStart=[^/]*\\(\\/[^ "]*\\).*/\\1/p' {UNIT})" -I -c '{GREET}'
"""


class Years:
    """What was run, in the order of the story, and what was seen."""

    def __init__(self, site: Site, index: Path, notebooks: Path, imported: Callable[[], str]) -> None:
        self.site, self.index, self.notebooks = site, index, notebooks
        self.imported = imported  # what the Python of the server imports
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.used: dict[str, str] = {}
        self.fingerprints: dict[str, str] = {}
        self.hashes: dict[str, dict[str, str]] = {}

    def run(self, name: str, command: str, *arguments: str, code: int = 0) -> None:
        done = self.site.run(command, *arguments)
        assert done.returncode == code, (name, done.stdout[-3000:], done.stderr[-3000:])
        self.done[name] = done

    def look(self, name: str, code: int = 0) -> None:
        """Keep what the Python of the server imports, the certificate that it presents, and its notebooks."""
        self.used[name] = self.imported().strip()
        self.run(f"status {name}", "status", self.site.name, "--json", code=code)
        self.fingerprints[name] = self.status(name)["certificate"]["fingerprint"]
        self.hashes[name] = lesson.hashes(self.notebooks)

    def status(self, name: str) -> dict[str, Any]:
        answers = [json.loads(line) for line in self.done[f"status {name}"].stdout.splitlines()]
        (found,) = [answer for answer in answers if answer["event"] == "status"]
        return dict(found)

    def put_greeting(self, version: str) -> None:
        put_package(self.index, "greeting", version, {"greeting/__init__.py": f"VERSION = '{version}'\n"})


def tell(told: Years) -> None:
    host = told.site.name
    for name, module in MODULES.items():
        put_package(told.index, name, "1.0", {module: ""})
    put_notebook(told.index, "1.0")
    put_uv(told.index, told.site.mirror)
    told.put_greeting("1.0")
    told.run("lock", "lock")
    told.run("apply", "apply", host)
    lesson.write(told.site.folder)
    told.run("push", "notebooks", "push", "lesson", host)
    told.look("first")
    told.put_greeting("2.0")
    told.run("lock again", "lock", "--upgrade", "greeting")
    told.run("upgrade", "apply", host)
    told.look("upgraded")
    told.run("log", "logs", host)
    told.run("rollback", "rollback", host)
    told.look("rolled back", code=4)  # the inventory has the other lock
    told.run("backup", "backup", host, "-o", "host.zip", "--with-key")
    told.run("undo", "undo", host, "--with-notebooks")
    told.hashes["undone"] = lesson.hashes(told.notebooks)
    told.run("apply on a fresh host", "apply", host)
    told.look("fresh")
    told.run("restore", "restore", "host.zip", host, "--with-key")
    told.look("restored")
    told.run("plan", "plan", host)
    told.run("restore again", "restore", "host.zip", host, "--with-key", "--json")


@contextmanager
def debian(folder: Path, index: str, mirror: Mirror, fresh: Callable[[], LinuxBox]) -> Iterator[Years]:
    with fresh() as host:
        site = LinuxSite(folder, host, mirror, notebook_password="correct horse")
        site.settings |= {"packages.index_url": index, "packages.include": ["greeting"], "python.version": "3.11.2"}
        site.write()
        yield Years(site, folder / "index", host.root / "var/lib/nbserver/notebooks", lambda: host.ssh(USED).stdout)


@contextmanager
def windows(folder: Path, index: str, mirror: Mirror) -> Iterator[Years]:
    password = "Tr0ub4dor"
    with (
        prefix_folder(folder) as prefix,
        WindowsBox.create(prefix) as host,
        host.endpoint(auth=["negotiate"], https=True, password=password) as endpoint,
    ):
        site = Site(folder, endpoint, mirror, port=free_port(), windows_password=password, notebook_password="correct horse")
        site.settings |= {"packages.index_url": index, "packages.include": ["greeting"]}
        site.write()

        def imported() -> str:
            task = host.path(rf"{TASKS}\nbserver").read_bytes().decode("utf-16")
            (program,) = re.findall("<Command>(.*)</Command>", task)
            return run_program(prefix, program, "-I", "-c", GREET)

        yield Years(site, folder / "index", host.path(r"C:\ProgramData\nbserver\notebooks"), imported)


@pytest.fixture(scope="module", params=["debian", "windows"])
def years(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Years]:
    folder = tmp_path_factory.mktemp("years")
    (folder / "index").mkdir()
    get = request.getfixturevalue
    with served(folder / "index") as url:
        if request.param == "windows":
            host = windows(folder, url, get("mirror"))
        else:
            host = debian(folder, url, get("linux_mirror"), get("debian_host"))
        with host as told:
            tell(told)
            yield told


def test_the_server_imports_what_was_locked(years: Years) -> None:
    assert "added greeting 1.0" in years.done["lock"].stdout and "greeting 1.0 -> 2.0" in years.done["lock again"].stdout
    assert years.used["first"] == "1.0" and years.used["upgraded"] == "2.0"


def test_a_rollback_starts_the_previous_environment_with_the_same_certificate(years: Years) -> None:
    assert years.used["rolled back"] == "1.0"
    assert years.fingerprints["first"] == years.fingerprints["upgraded"] == years.fingerprints["rolled back"]
    assert years.hashes["rolled back"] == years.hashes["first"]
    assert lesson.hashes(years.site.folder / "lesson").items() <= years.hashes["first"].items()
    assert years.status("upgraded")["previous"]["environment"] != years.status("rolled back")["previous"]["environment"]


def test_the_log_of_the_server_arrives(years: Years) -> None:
    assert "GET /api/kernels" in years.done["log"].stdout


def test_a_backup_brings_back_notebooks_key_and_certificate(years: Years) -> None:
    assert years.hashes["undone"] == {} and years.used["fresh"] == "2.0"
    assert years.fingerprints["fresh"] != years.fingerprints["first"] == years.fingerprints["restored"]
    assert years.hashes["restored"] == years.hashes["first"] != years.hashes["fresh"]
    assert json.loads(years.done["restore again"].stdout.splitlines()[-1])["hosts"][years.site.name]["changed"] == 0
