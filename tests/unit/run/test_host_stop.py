"""Limits of one host's run: of a step, and of the whole run. Time is a number here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbserver.cli.options import LONGEST_RUN
from nbserver.events import reader
from nbserver.inventory import time_limits
from nbserver.render.script import Script
from nbserver.run import host_stop
from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.host_stop import HostStop
from nbserver.run.journal import Journal
from nbserver.run.options import Options
from nbserver.run.secret_mask import SecretMask
from nbserver.run.time_limits import with_limits
from nbserver.transports.transport import LogonSecrets, StopRequested
from tests.unit.run.test_host_run import HOST, ended, event, script  # noqa: F401 (script is a fixture)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def happened(name: str, step: str, **data: Any) -> reader.Event:
    return reader.parse(json.dumps(event(1, name, step, **data)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_no_limit(clock: Clock) -> None:
    everybody = threading.Event()
    stop = HostStop("win1", everybody, clock=clock)
    clock.now += 1e9
    assert not stop.is_set() and not stop.wait(0)
    everybody.set()
    assert stop.is_set() and stop.wait() and stop.exceeded is None


def test_the_limit_of_the_run(clock: Clock) -> None:
    stop = HostStop("win1", threading.Event(), 60, clock=clock)
    clock.now += 59
    assert not stop.is_set()
    clock.now += 1
    assert stop.is_set() and stop.wait(5) and stop.wait()
    assert stop.exceeded and str(stop.exceeded).startswith("win1: the run did not finish within 60 s, so nbserver stopped it")
    assert not threading.Event().is_set()


def test_each_step_has_its_own_time(clock: Clock) -> None:
    stop = HostStop("win1", threading.Event(), None, 10, clock)
    clock.now += 1000
    assert not stop.is_set(), "no step has begun"
    for name in ("python", "packages"):
        stop.heard(happened("started", name, title="x"))
        clock.now += 9
        stop.heard(happened("log", name, text="busy"))
        assert not stop.is_set()
        stop.heard(happened("changed", name))
        clock.now += 1000
        assert not stop.is_set(), "nothing runs"
    stop.heard(happened("started", "service", title="x"))
    stop.heard(happened("restored", "tls", kind="file", what="x"))
    clock.now += 10
    assert stop.is_set() and stop.exceeded and stop.exceeded.code == "step-too-slow" and stop.exceeded.values["step"] == "service"
    stop.heard(happened("changed", "service"))
    assert stop.is_set(), "what is stopped stays stopped"


def test_a_limit_brings_the_deadline_of_the_connection_forward(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", clock)
    transport: Any = SimpleNamespace(deadline=1e9)
    stop = HostStop("win1", threading.Event(), 60, clock=clock)
    assert stop.watch(transport) is transport
    clock.now += 60
    assert stop.is_set() and transport.deadline == clock.now + host_stop.GRACE
    clock.now += 60
    assert stop.is_set() and transport.deadline == clock.now - 60 + host_stop.GRACE


def test_a_wait_ends_at_the_limit() -> None:
    stop = HostStop("win1", threading.Event(), 0.05)
    assert not stop.wait(0.001)
    assert stop.wait(20) and stop.exceeded


def test_limits_of_the_command_line() -> None:
    assert LONGEST_RUN == time_limits.LONGEST == HOST.timeout
    options = Options(connect_timeout=5, connect_retries=0, step_timeout=60, timeout=600)
    found: Any = with_limits(HOST, options)
    assert (found.connect_timeout, found.connect_retries, found.step_timeout, found.timeout) == (5, 0, 60, 600)
    assert with_limits(HOST, Options()) is HOST


class Hanging:
    """A transport with a step that does not end until it is stopped, or one that does not even connect."""

    deadline = 0.0

    def __init__(self, script: Script, stop: threading.Event) -> None:
        self._script, self._stop, self._stopped = script, stop, False

    def run(self, script: str, envelope: Any) -> Iterator[str]:
        run = next(line for line in envelope if line.startswith("run "))[4:]
        mode = envelope[0].removeprefix("mode ")
        if mode == "events":
            yield json.dumps(event(4, "restored", "path", kind="file", what="x"))
            yield json.dumps(ended(5, "stopped", changed=1))
            return
        started = {"run": run, "mode": mode, "operator": "me", "release": "0.1.0", "host": "win1", "script_sha256": self._script.sha256}
        yield json.dumps(event(1, "started", **started))
        yield json.dumps(event(2, "changed", "preflight"))
        yield json.dumps(event(3, "started", "path", title="x"))
        assert self._stop.wait(20)
        raise StopRequested

    def close(self) -> None:
        pass


def execute(script: Script, folder: Path, monkeypatch: pytest.MonkeyPatch, connect: Any, **limits: float) -> Any:
    host = HOST.model_copy(update=limits)
    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    call = HostCall(HostJob(host, script, LogonSecrets()), "apply", "run-1", "me", SecretMask([]))
    part = Journal(folder, "run-1", "apply", "me").host(script)
    result = call.execute(part, threading.Event(), lambda name, event: None)
    part.close()
    return result


@pytest.mark.parametrize(("limits", "code"), [({"step_timeout": 0.05}, "step-too-slow"), ({"timeout": 0.05}, "host-too-slow")])
def test_a_step_that_hangs_is_stopped(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, float], code: str
) -> None:
    result = execute(script, tmp_path, monkeypatch, lambda host, logon, stop: Hanging(script, stop), **limits)
    assert (result.outcome, result.error_kind, result.detail["code"], result.changed) == ("failed", "timeout", code, 1)
    assert result.steps == {"preflight": "changed", "path": "restored"}, "the script's own record of its end was read"
    assert result.error in (tmp_path / "run-1" / "win1" / "log.txt").read_text()


def test_a_host_that_is_silent_while_connecting_is_unreachable(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(host: Any, logon: Any, stop: threading.Event) -> Any:
        assert stop.wait(20)
        raise StopRequested

    result = execute(script, tmp_path, monkeypatch, connect, timeout=0.05)
    assert (result.outcome, result.error_kind, result.changed) == ("unreachable", "timeout", 0)
