"""What ends a job, on each system."""

from __future__ import annotations

import signal

import pytest

from nbserver.cli import program


def test_ctrl_break_stops_a_run_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no SIGTERM: a job that starts nbserver sends Ctrl-Break, which would end it while scripts run on hosts."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)  # a signal that has an action, and that nothing here uses
    seen: list[object] = []
    monkeypatch.setattr(program.cli, "main", lambda **given: seen.extend(map(signal.getsignal, (signal.SIGTERM, signal.SIGUSR1))))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        with pytest.raises(SystemExit):
            program.main()
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    assert seen == [signal.default_int_handler] * 2
