"""Write down what an earlier release leaves: `python -m tests.states CHECKOUT RELEASE [linux] [windows]`.

CHECKOUT is a checkout of that release. Its own command line sets up a Debian and a Windows of the test hosts.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.boxes import artifacts
from tests.boxes.linux.base import DEBIAN, build
from tests.boxes.linux.lab import LinuxLab
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows import WindowsBox
from tests.checkout import SOURCE
from tests.site import LinuxSite, Site
from tests.states import linux, windows

LOCKS = SOURCE / "nbserver" / "catalog" / "data" / "locks"
PASSWORD = "correct horse"
KEPT = (".toml", ".known", ".salt", ".json", ".jsonl", ".txt", ".sha256")  # not the scripts


def main(checkout: Path, target: Path, systems: list[str]) -> None:
    for system in systems or ["linux", "windows"]:
        with tempfile.TemporaryDirectory() as name, earlier(checkout):
            (write_linux if system == "linux" else write_windows)(Path(name), target)
    mask(target)


@contextlib.contextmanager
def earlier(checkout: Path) -> Iterator[None]:
    """Sites run the command line of this checkout, whose package is `installer`."""
    command, environment = Site._command, Site._environment
    Site._command = lambda site, arguments: [sys.executable, "-m", "installer", *arguments]  # type: ignore[method-assign]
    Site._environment = lambda site, more: {**environment(site, more), "PYTHONPATH": str(checkout)}  # type: ignore[method-assign]
    try:
        yield
    finally:
        Site._command, Site._environment = command, environment  # type: ignore[method-assign]


def write_linux(folder: Path, target: Path) -> None:
    cache = artifacts.cache_folder()
    with (
        LinuxLab(cache) as lab,
        Mirror(LOCKS / "linux.txt", wheels=artifacts.linux_wheels) as mirror,
        lab.clone(build(cache, DEBIAN)).booted() as host,
    ):
        linux.prepare(host)
        site = LinuxSite(folder, host, mirror, notebook_password=PASSWORD)
        site.settings.update(linux.SETTINGS)
        site.write()
        apply(site)
        linux.keep(host, target / "linux")
        keep_workstation(site, target / "workstation" / "linux")


def write_windows(folder: Path, target: Path) -> None:
    with (
        prefix_folder(folder) as prefix,
        WindowsBox.create(prefix) as host,
        Mirror(LOCKS / "windows-x64-python3.11.txt") as mirror,
        host.endpoint(auth=["basic", "negotiate"], https=True, password="Tr0ub4dor") as endpoint,
        windows.prepared(host),
    ):
        site = Site(folder, endpoint, mirror, port=windows.PORT, windows_password="Tr0ub4dor", notebook_password=PASSWORD)
        mirror.write_catalog(folder / "site-catalog.toml", openssl="msi", whole_python=True)
        site.settings.update({"adopt": True, **windows.SETTINGS})
        site.write()
        apply(site)
        windows.keep(host, target / "windows")
        keep_workstation(site, target / "workstation" / "windows")


def apply(site: Site) -> None:
    """Render, plan, and apply."""
    for code, *arguments in ((0, "render", "-o", "rendered"), (4, "plan"), (0, "apply", "--approved", "rendered/manifest.json")):
        done = site.run(arguments[0], site.name, *arguments[1:])
        print(done.stdout, done.stderr, flush=True)
        assert done.returncode == code, done.returncode


def keep_workstation(site: Site, target: Path) -> None:
    """Copies the site's folder to `target`, without the scripts."""
    shutil.rmtree(target, ignore_errors=True)
    for file in site.folder.rglob("*"):
        if file.suffix in KEPT:
            name = target / file.relative_to(site.folder)
            name.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, name)


def mask(target: Path) -> None:
    """Replaces what names this machine, its user, its files, and the mirrors that it uses."""
    for file in (path for path in target.rglob("*") if path.is_file() and not path.is_symlink()):
        text = file.read_bytes()
        masked = text.replace(f"{getpass.getuser()}@{socket.gethostname()}".encode(), b"anna@desk")
        masked = re.sub(rb"(?<=//)[a-z0-9.-]+(?=/debian)", b"mirror.example.com", masked)
        masked = re.sub(rb'(?m)^key_file = ".*"$', b'key_file = "id_ed25519"', masked)
        masked = re.sub(rb'(?m)^file = ".*/(.*)"$', rb'file = "\1"', masked)  # the lock of a catalog
        if masked != text:
            file.write_bytes(masked)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(__file__).parent / sys.argv[2], sys.argv[3:])
