"""A Windows host on which things go wrong; what a test that failed has left is repaired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.ports import free_port
from tests.site import Site
from tests.tier import FULL


@pytest.fixture(scope="module")
def https(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic", "negotiate"], https=True, password="Tr0ub4dor", one_process=not FULL) as endpoint:
        yield endpoint


@pytest.fixture
def site(https: Endpoint, mirror: Mirror, tmp_path: Path) -> Site:
    return make_site(https, mirror, tmp_path)


@pytest.fixture(autouse=True)
def repaired(https: Endpoint, windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that failed may have left a run, and what it changed: that is not the next one's failure."""
    lock = windows_host.path(r"C:\ProgramData\nbserver\lock")
    if (
        (lock.exists() and lock.read_text("utf-8"))
        or windows_host.path(r"C:\Program Files\nbserver").exists()
        or not ie_esc_is_on(windows_host)
    ):
        https.kill_engines()
        done = make_site(https, mirror, tmp_path_factory.mktemp("repaired")).run("undo", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ie_esc_is_on(windows_host)


def make_site(endpoint: Endpoint, mirror: Mirror, folder: Path) -> Site:
    mirror.behave()
    return Site(folder, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")


def refused(site: Site, *arguments: str, code: int) -> str:
    """The one message of a run that must fail with `code`; no traceback, no secret in it."""
    done = site.run(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    for secret in site.secrets.values():
        assert secret not in said
    return said


def ie_esc_is_on(host: WindowsBox) -> bool:
    return host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"] == "dword:00000001"
