"""pypsrp still has what the transport needs of it: run with the lowest release by tools/lowest, and with the newest here."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from pypsrp.powershell import Fragment, PowerShell, RunspacePool
from pypsrp.shell import CommandState
from pypsrp.wsman import WSMan

from nbserver.transports.psrp import private_names

RELEASE = version("pypsrp")


@pytest.fixture
def wsman() -> WSMan:
    return WSMan("host.invalid", ssl=True, auth="basic", username="user", password="x")


def test_every_session_is_prepared_before_it_sends(wsman: WSMan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first message of a connection builds its session, and so does the first one of a connection that was dropped."""
    log: list[Any] = []

    def prepare(session: Any) -> None:
        log.append(session)
        monkeypatch.setattr(session, "send", lambda *_, **__: log.append("sent") or pytest.fail("stop here"))

    private_names.prepare_sessions(wsman, prepare)
    for number in (1, 2):
        with pytest.raises(pytest.fail.Exception, match="stop here"):
            wsman.transport.send(b"<x/>")
        assert log[-1] == "sent" and len(log) == 2 * number, f"pypsrp {RELEASE} sends without the session that was prepared"
        assert wsman.transport.session is log[-2], f"pypsrp {RELEASE} keeps its session elsewhere"
        private_names.forget_connection(wsman)
        assert wsman.transport.session is None and wsman.transport.encryption is None


@pytest.mark.parametrize(("state", "last"), [(CommandState.RUNNING, False), (CommandState.DONE, True)])
def test_the_last_answer_of_a_pipeline_is_seen(wsman: WSMan, monkeypatch: pytest.MonkeyPatch, state: str, last: bool) -> None:
    pool = RunspacePool(wsman)
    monkeypatch.setattr(pool.shell, "receive", lambda *_, **__: (state, 0, {"stdout": b""}))
    seen: list[bool] = []
    private_names.watch_answers(pool, seen.append)
    PowerShell(pool).poll_invoke()
    assert seen == [last], f"pypsrp {RELEASE} asks for answers another way"


def test_a_message_that_has_not_ended_is_counted(wsman: WSMan) -> None:
    pool = RunspacePool(wsman)
    assert private_names.unfinished_bytes(pool) == 0
    pool._fragmenter.defragment(Fragment(1, 0, b"x" * 1000, start=True, end=False).pack())
    pool._fragmenter.defragment(Fragment(2, 0, b"y" * 24, start=True, end=False).pack())
    assert private_names.unfinished_bytes(pool) == 1024, f"pypsrp {RELEASE} keeps fragments elsewhere"
