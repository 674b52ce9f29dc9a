"""The machines in a box, one of each for a whole run of the tests."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests import one_cpu, order, signals
from tests.checkout import CHECKOUT, TESTS
from tests.markers import markers_of
from tests.tier import FULL, TIMES

if TYPE_CHECKING:
    from tests.boxes.linux.base import LinuxBase
    from tests.boxes.linux.host import LinuxBox
    from tests.boxes.linux.lab import LinuxLab
    from tests.boxes.mirror import Mirror
    from tests.boxes.windows import WindowsBox

# To collect tests makes a million objects that stay, and a third of its time went into looking for those that do not.
gc.disable()
signals.heed()
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    one_cpu.stay(worker)

# No example has to be done in a time of its own: a machine may be slow, and busy with another test. Where a run decides about
# a change (NBSERVER_TEST_COMPLETE) the examples are the same each time; elsewhere, and in the second tier, they are new ones.
settings.register_profile(
    "any machine",
    max_examples=100 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("NBSERVER_TEST_COMPLETE")) and TIMES == 1,
)
settings.load_profile("any machine")

LOCK = CHECKOUT / "installer" / "nbserver" / "catalog" / "data" / "locks" / "windows-x64-python3.11.txt"


@pytest.fixture(scope="session", autouse=True)
def user_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of tests are not in the log of the user who runs the tests, and speak English on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("NBSERVER_LANG", "en")
        yield


@pytest.fixture(scope="session")
def windows_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsBox]:
    """A Windows Server in a box; tests leave it as they found it, or use names of their own."""
    from tests.boxes.prefixes import prefix_folder
    from tests.boxes.windows import WindowsBox
    from tests.boxes.wine import PWSH_VARIABLE, WINE

    if not os.access(WINE, os.X_OK):
        pytest.skip(f"a Windows host needs {WINE} (Debian package wine64)")
    if not os.access(os.environ.get(PWSH_VARIABLE, ""), os.X_OK):
        pytest.skip(f"a Windows host needs {PWSH_VARIABLE}: the program that runs PowerShell for Windows under Wine")
    with prefix_folder(tmp_path_factory.mktemp("windows")) as prefix, WindowsBox.create(prefix) as host:
        yield host


@pytest.fixture(scope="session")
def mirror() -> Iterator[Mirror]:
    """A mirror with CPython, OpenSSL and the locked wheels; `mirror.behave()` clears what an earlier test left."""
    from tests.boxes import artifacts
    from tests.boxes.mirror import Mirror

    try:
        artifacts.windows_folder()
    except LookupError as missing:
        pytest.skip(f"the mirror lacks OpenSSL for Windows: {missing}")
    if not shutil.which("wixl"):
        pytest.skip("the mirror needs wixl to make an MSI (Debian package wixl)")
    if not LOCK.is_file():
        pytest.skip(f"the mirror needs the lock file {LOCK.name}")
    with Mirror(LOCK) as site:
        yield site


@pytest.fixture(scope="session")
def linux_lab() -> Iterator[LinuxLab]:
    """The network of the Linux hosts of this run."""
    from tests.boxes.artifacts import cache_folder
    from tests.boxes.linux.lab import LinuxLab, lacks

    if words := lacks():
        pytest.skip(words)
    with LinuxLab(cache_folder()) as lab:
        yield lab


@pytest.fixture(scope="session")
def debian_host(linux_lab: LinuxLab) -> Callable[[], LinuxBox]:
    """Each call boots a fresh Debian 12 (a second): `with debian_host() as host:`."""
    from tests.boxes.artifacts import cache_folder
    from tests.boxes.linux.base import DEBIAN, build

    base = build(cache_folder(), DEBIAN)
    return lambda: linux_lab.clone(base).booted()


@pytest.fixture(scope="session")
def suse_base() -> LinuxBase:
    """The root folder of the openSUSE-like hosts; a sandbox over it is cheaper than a host."""
    from tests.boxes.artifacts import cache_folder
    from tests.boxes.linux.base import build
    from tests.boxes.linux.lab import lacks
    from tests.boxes.linux.suse import SUSE
    from tests.boxes.linux.suse_repository import PROGRAMS

    if words := lacks() or lacks(PROGRAMS):
        pytest.skip(words)
    return build(cache_folder(), SUSE)


@pytest.fixture(scope="session")
def suse_host(linux_lab: LinuxLab, suse_base: LinuxBase) -> Callable[[], LinuxBox]:
    """Each call boots a fresh openSUSE-like host: `with suse_host() as host:`."""
    return lambda: linux_lab.clone(suse_base).booted()


@pytest.fixture(scope="session")
def linux_mirror() -> Iterator[Mirror]:
    """A mirror with the wheels of the lock of Linux hosts."""
    from tests.boxes import artifacts
    from tests.boxes.mirror import Mirror

    with Mirror(LOCK.with_name("linux.txt"), wheels=artifacts.linux_wheels) as site:
        yield site


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test gets the markers of its folder; the files that take longest come first. Those of the second tier wait for it."""
    if not FULL:
        later = [item for item in items if item.get_closest_marker("second_tier")]
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if item not in later]
    files = {item: item.path.relative_to(TESTS).as_posix() for item in items}
    for item, file in files.items():
        for marker in markers_of(file):
            item.add_marker(marker)
    known = order.read(order.SECONDS.read_text("utf-8"))
    place = {file: number for number, file in enumerate(order.ordered(dict.fromkeys(files.values()), known))}
    items.sort(key=lambda item: place[files[item]])


def pytest_collection_finish() -> None:
    """From now on garbage is collected again, but not among what has been there before."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Where the run must be complete (NBSERVER_TEST_COMPLETE), a skipped test is a failure of the run."""
    if os.environ.get("NBSERVER_TEST_COMPLETE") and terminalreporter.stats.get("skipped"):
        terminalreporter.section("skipped, and nothing may be skipped here", red=True)
        for report in terminalreporter.stats["skipped"]:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """See pytest_terminal_summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NBSERVER_TEST_COMPLETE") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
