"""The fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boxes.windows import WindowsBox
from tests.faults.small_host import PASSWORD, SmallHost
from tests.faults.wire import Wire


@pytest.fixture(scope="module")
def at_once() -> Iterator[pytest.MonkeyPatch]:
    """The orchestrator's pauses, in seconds, without their length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbserver.run.host_run.REJOIN_PAUSES", (0.0, 0.0, 0.1))
        patch.setattr("nbserver.run.host_run.CONNECT_PAUSES", (0.0, 0.0, 0.1))
        patch.setattr("nbserver.transports.psrp.transport.RECONNECT_PAUSES", (0.0, 0.0, 0.1))
        yield patch


@pytest.fixture(scope="module")
def small_host(windows_host: WindowsBox, tmp_path_factory: pytest.TempPathFactory, at_once: pytest.MonkeyPatch) -> Iterator[SmallHost]:
    options = {"auth": ["basic"], "https": True, "password": PASSWORD, "one_process": True}
    at_once.setenv("FAULTS_PASSWORD", PASSWORD)
    with windows_host.endpoint(**options) as struck, windows_host.endpoint(**options) as steady:
        host = SmallHost(windows_host, struck, steady, tmp_path_factory.mktemp("faults"))
        host.prepare()
        yield host
        host.clean_up()


@pytest.fixture(scope="module")
def wire(small_host: SmallHost, at_once: pytest.MonkeyPatch) -> Wire:
    """The way to the endpoint that suffers."""
    return Wire(small_host.struck_endpoint, at_once)
