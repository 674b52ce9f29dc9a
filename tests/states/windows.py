"""A Windows before an installation, what an installation left there, and how it gets onto another Windows."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.boxes import artifacts
from tests.boxes.server_settings import ENVIRONMENT
from tests.boxes.task_scheduler import SERVICES, TASKS
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_python import PYTHON_3_11
from tests.hand_made import PATH, HandMade

PORT = 9417
SETTINGS: dict[str, Any] = {"notebook.directory": r"C:\notebooks"}
KINDS = {"tasks": TASKS, "firewall": r"C:\nbserver-test\firewall", "services": SERVICES, "acl": r"C:\nbserver-test\acl"}
RULE = "{6D2F0F38-6BB1-4C5A-9A3B-2E4BB4A6C1D7}"


@contextlib.contextmanager
def prepared(host: WindowsBox) -> Iterator[HandMade]:
    """What was there before: a service on the port with its rule and PATH entries, and a task and a rule named nbserver."""
    made = HandMade(host, PORT)
    try:
        made.service("IPythonNotebook")
        made.rule(RULE, [str(PORT)])
        made.path(PATH)
        made.port = PORT + 1
        made.task("nbserver")
        made.rule("nbserver", [str(PORT + 1)], RemoteAddress=["192.0.2.0/255.255.255.0"])
        host.path(r"C:\notebooks").mkdir()
        (host.path(r"C:\notebooks") / "mine.txt").write_text("mine\n")
        yield made
    finally:
        made.remove()
        shutil.rmtree(host.path(r"C:\notebooks"), ignore_errors=True)


def keep(host: WindowsBox, target: Path) -> None:
    """Copies to `target` what the installation left: files, and tasks, rules, services, access lists, and PATH as this Windows has them."""
    shutil.rmtree(target, ignore_errors=True)
    drive = host.path("C:\\")
    for folder in (r"C:\ProgramData\nbserver", r"C:\Program Files\nbserver"):
        for file in sorted(host.path(folder).rglob("*")):
            name = file.relative_to(drive)
            if file.is_dir() or file.suffix == ".log" or {"cache", "work"} & set(name.parts):
                continue
            if name.parts[0] == "Program Files" and file.name != "nbserver.lock":
                continue
            (target / "host" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / "host" / name)
    for kind, folder in KINDS.items():
        (target / kind).mkdir(parents=True, exist_ok=True)
        for file in sorted(host.path(folder).glob("nbserver" if kind == "tasks" else "*.json")):
            text = file.read_text("utf-16" if kind == "tasks" else "utf-8")
            (target / kind / file.name).write_text(text, "utf-8", newline="")
    (target / "path.txt").write_text(host.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"] + "\n")
    folders = [path.relative_to(drive).as_posix() for path in sorted(drive.glob("Program*/nbserver/*")) if path.is_dir()]
    (target / "folders.txt").write_text("".join(f"{folder}\n" for folder in folders))


def put(made: HandMade, state: Path) -> None:
    """Puts what `keep` has kept onto the host of `prepared`, with a Python where one was. The server itself is not there."""
    host = made.host
    drive = host.path("C:\\")
    for name in ("service.IPythonNotebook", "nbserver"):
        host.scheduler.stop(name)
    for folder in (state / "folders.txt").read_text().splitlines():
        (drive / folder).mkdir(parents=True, exist_ok=True)
        if "/python-" in folder:
            with zipfile.ZipFile(PYTHON_3_11.small(artifacts.cache_folder())) as archive:
                archive.extractall(drive / folder)
    shutil.copytree(state / "host", drive, dirs_exist_ok=True)
    for kind, folder in KINDS.items():
        for file in (state / kind).iterdir():
            target = host.path(folder) / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.read_text("utf-8"), "utf-16" if kind == "tasks" else "utf-8")
    made.path((state / "path.txt").read_text("utf-8").strip().removeprefix("REG_EXPAND_SZ:"))
