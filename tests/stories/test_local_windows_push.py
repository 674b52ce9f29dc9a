"""This machine, a Windows one in user scope, whose packages come from a bundle next to the inventory: nothing is asked of any server."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from nbserver import __version__
from nbserver.bundle import contents
from nbserver.bundle.contents import File
from nbserver.catalog import mirror as layout
from tests.boxes import windows_desktop
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows_desktop import Done, WindowsDesktop
from tests.faults.small_packages import write_whole_index
from tests.ports import free_port

DOWNLOADS = "AppData/Local/nbserver/state/downloads"


def write_bundle(folder: Path, index: Path) -> None:
    """The bundle of all wheels of an index."""
    files = []
    for wheel in index.rglob("*.whl"):
        name, version = wheel.name.split("-")[:2]
        data = wheel.read_bytes()
        one = File("wheel", name, version, wheel.name, hashlib.sha256(data).hexdigest(), len(data), f"https://example.com/{wheel.name}")
        (folder / one.path).parent.mkdir(parents=True)
        shutil.copy(wheel, folder / one.path)
        files.append(one)
    (folder / contents.FILE_NAME).write_text(contents.to_text(files, __version__))
    (folder / layout.PAGE).write_text(contents.page(files))


@pytest.mark.second_tier("installs this machine as a Windows one")
def test_this_machine_gets_its_packages_from_a_bundle(mirror: Mirror, tmp_path: Path) -> None:
    if windows_desktop.missing():
        pytest.skip(windows_desktop.missing())
    lines = write_whole_index(tmp_path / "index", mirror)
    with prefix_folder(tmp_path / "desktop") as prefix, closing(WindowsDesktop(prefix)) as desktop:
        home = desktop.host.path(f"C:\\users\\{desktop.user}")
        site = home / "nbserver-site"
        write_bundle(site / "bundle", tmp_path / "index")
        (site / "small.lock.txt").write_text("".join(f"{line}\n" for line in lines))
        settings = {"notebook.port": free_port(), "packages.lock": "small.lock.txt"}
        settings |= {"downloads.source": "push", "downloads.bundle": "bundle"}
        (site / "nbserver.toml").write_text(
            "[hosts.local]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        )

        def run(*arguments: str) -> Done:
            return desktop.nbserver(*arguments, extra={"PIP_INDEX_URL": "https://192.0.2.1/simple/"}, timeout=900, folder=site)

        planned = run("plan", "local")
        assert planned.code == 4 and "local  apply would send 11 files" in planned.out, planned.out + planned.err
        assert not (home / DOWNLOADS).exists()
        applied = run("apply", "local", "--json")
        assert applied.code == 0, applied.out + applied.err
        assert json.loads(applied.out.splitlines()[-1])["hosts"]["local"]["steps"]["packages"] == "changed"
        assert len(list((home / DOWNLOADS).glob("*.whl"))) == 11
        undone = run("undo", "local")
        assert undone.code == 0, undone.out + undone.err
        assert not (home / DOWNLOADS).exists()
