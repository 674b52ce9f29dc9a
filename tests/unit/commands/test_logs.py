"""logs: what may be asked for, what is accepted from a host, and that hosts stay apart."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbserver.base import standard_streams, utc
from nbserver.base.errors import ScriptError, UsageError
from nbserver.commands import logs
from nbserver.inventory import reader
from nbserver.run import operation, server_log
from nbserver.run.log_request import LogRequest
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.run.server_log import LogReading

NOW = datetime(2026, 11, 29, 14, tzinfo=UTC)
INVENTORY = "".join(
    f'[hosts.{name}]\nsystem = "linux"\naddress = "{name}.example.com"\nuser = "root"\nnotebook.password = {{ env = "N" }}\n'
    for name in ("lin1", "lin2")
)


@pytest.mark.parametrize(
    ("text", "time"),
    [("30m", NOW - timedelta(minutes=30)), ("2d", NOW - timedelta(days=2)), ("2026-11-29T12:00:00+01:00", NOW - timedelta(hours=3))],
)
def test_a_time_is_how_long_ago_or_when(monkeypatch: pytest.MonkeyPatch, text: str, time: datetime) -> None:
    monkeypatch.setattr(utc, "now", lambda: NOW)
    assert logs.time_of(text) == time


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "-1h", "999999d", "2026-13-01", "٢h"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid time"):
        logs.time_of(text)


@pytest.mark.parametrize("wrong", [{"lines": 0}, {"lines": 10_001}, {"seconds": 61}, {"cursor": "a b"}, {"cursor": "é"}])
def test_an_invalid_request_is_not_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LogRequest(**{"lines": 1, **wrong})


class Transport:
    """Sends these pieces of files as a host does."""

    def __init__(self, *pieces: tuple[str, bytes]) -> None:
        self.pieces = pieces

    def run(self, script: str, envelope: Any, data: Any = None) -> Any:
        for number, (path, piece) in enumerate(self.pieces, 1):
            fields = {"v": 1, "n": number, "time": "2026-11-29T14:00:00.0000000Z", "step": "", "event": "content"}
            yield json.dumps({**fields, "path": path, "offset": 0, "data": base64.b64encode(piece).decode()}, separators=(",", ":"))


def received(reading: LogReading, *pieces: tuple[str, bytes]) -> list[str]:
    return list(reading.watch(Transport(*pieces), "lin1", []).run("", []))  # type: ignore[arg-type]


def test_a_host_cannot_send_control_characters_another_path_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    reading = LogReading(shown.append, 100)
    lines = received(
        reading, ("log", b"a\xc3"), ("log", b"\xa9\x1b]0;x\x07\nno end"), ("../x", b"y\n"), ("cursor", b"a b"), ("cursor", b"s=1;i=2")
    )
    assert shown == ["aé�]0;x�"] and reading.shown == 1 and reading.request().cursor == "s=1;i=2"
    assert all('"data":""' in line for line in lines)
    monkeypatch.setattr(server_log, "MOST_AT_ONCE", 10)
    with pytest.raises(ScriptError, match="more than 0 MB of its log"):
        received(reading, ("log", b"12345\n"), ("log", b"12345\n"))


def test_the_lines_of_several_hosts_have_their_names_in_the_order_of_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    loaded = reader.load(tmp_path / "nbserver.toml")

    def operate(mode: str, inventory: Any, hosts: Any, options: Options, ask: Any, view: Any, stop: Any) -> dict[str, Result]:
        assert mode == "logs"
        for name in ("lin2", "lin1"):
            reading = options.transfers[name]
            assert isinstance(reading, LogReading) and reading.request() == LogRequest(7)
            reading.take(f"of {name}".encode())
        return {host.name: Result(host.name, "ok") for host in hosts}

    monkeypatch.setattr(operation, "operate", operate)
    code = logs.logs(logs.Wanted(7, None, follow=False, as_json=False), loaded, loaded.select(["lin*"]), Options(), None, None)  # type: ignore[arg-type]
    assert code == 0 and capsys.readouterr().out.splitlines() == ["lin1  of lin1", "lin2  of lin2"]


@pytest.mark.parametrize("follow", [False, True])
def test_a_pipe_without_a_reader_ends_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: bool) -> None:
    """As in `nbserver logs lin1 --follow | grep -m 1 x`."""
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    loaded = reader.load(tmp_path / "nbserver.toml")
    stopped = []

    def operate(mode: str, inventory: Any, hosts: Any, options: Options, ask: Any, view: Any, stop: threading.Event) -> dict[str, Result]:
        reading = options.transfers["lin1"]
        assert isinstance(reading, LogReading)
        reading.take(b"one\ntwo\n")
        stopped.append(stop.is_set())
        standard_streams.results_are_in(tmp_path)
        return {"lin1": Result("lin1", "stopped" if stop.is_set() else "ok")}

    reading, writing = os.pipe()
    os.close(reading)
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(operation, "operate", operate)
    monkeypatch.setattr(sys, "stderr", errors)
    with os.fdopen(writing, "w", encoding="utf-8") as output, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", output)
        with standard_streams.undemanding():
            view = SimpleNamespace(summary=lambda *given: None)
            code = logs.logs(logs.Wanted(7, None, follow=follow, as_json=False), loaded, loaded.select(["lin1"]), Options(), None, view)  # type: ignore[arg-type]
            assert standard_streams.not_written() is None
    assert code == 0 and stopped == [follow] and not errors.buffer.getvalue()  # type: ignore[attr-defined]
