"""A Windows and a Debian host whose packages come from an index of real wheels, to which a test adds those of its locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.boxes import artifacts
from tests.boxes.linux.host import LinuxBox
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows import WindowsBox
from tests.checkout import SOURCE
from tests.ports import free_port
from tests.site import LinuxSite, Site

LOCKS = SOURCE / "nbserver" / "catalog" / "data" / "locks"
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Machine:
    """A host with its site, and where the host has what the tests look at."""

    site: Site
    url: str
    environments: Path
    certificate: Path
    notebooks: Path
    wheels: Callable[[str], None]  # puts those of a lock's text into the index
    science: str  # its lock of the set

    def lock(self) -> str:
        """`nbserver lock` with the default index of this machine; the wheels are then in the host's. Returns what it printed."""
        self.site.write(packages__index_url=None)
        done = self.site.run("lock")
        assert done.returncode == 0, done.stderr
        (lock,) = (self.site.folder / "nbserver.locks").iterdir()
        self.wheels(lock.read_text("utf-8"))
        self.site.write()
        return done.stdout


@contextmanager
def index(lock: Path, wheels: Callable[[Path, Path], Path], folder: Path) -> Iterator[Mirror]:
    """A mirror with the wheels of a lock. A test may add those of other locks."""
    folder.mkdir()
    for wheel in wheels(artifacts.cache_folder(), lock).iterdir():
        (folder / wheel.name).symlink_to(wheel)
    with Mirror(lock, wheels=lambda cache, lock: folder) as mirror:
        yield mirror


@contextmanager
def windows(folder: Path) -> Iterator[Machine]:
    with (
        index(LOCKS / "windows-x64-python3.11.txt", artifacts.wheels, folder / "index") as mirror,
        prefix_folder(folder) as prefix,
        WindowsBox.create(prefix) as host,
        host.endpoint(auth=["negotiate"], https=True, password="Tr0ub4dor") as endpoint,
    ):
        site = Site(folder, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password=PASSWORD)
        site.settings["notebook.language"] = "fr"
        site.write()
        yield Machine(
            site,
            f"https://127.0.0.1:{site.port}",
            host.path(r"C:\Program Files\nbserver"),
            host.path(r"C:\ProgramData\nbserver\service\certificate.pem"),
            host.path(r"C:\ProgramData\nbserver\notebooks"),
            lambda lock: artifacts.put_windows_wheels(lock, folder, folder / "index"),
            (LOCKS / "science" / "windows-x64-python3.11.txt").read_text("utf-8"),
        )


@contextmanager
def debian(folder: Path, fresh: Callable[[], LinuxBox]) -> Iterator[Machine]:
    with index(LOCKS / "linux.txt", artifacts.linux_wheels, folder / "index") as mirror, fresh() as host:
        site = LinuxSite(folder, host, mirror, notebook_password=PASSWORD)
        site.settings |= {"notebook.language": "ja", "python.version": artifacts.LINUX_PYTHON}
        site.write()
        science = artifacts.lines_for((LOCKS / "science" / "linux-x64.txt").read_text("utf-8"), artifacts.LINUX_PYTHON)
        yield Machine(
            site,
            str(site.settings["notebook.public_url"]),
            host.root / "opt/nbserver",
            host.root / "etc/nbserver/certificate.pem",
            host.root / "var/lib/nbserver/notebooks",
            lambda lock: artifacts.put_linux_wheels(lock, folder, folder / "index"),
            "".join(f"{line}\n" for line in science),
        )
