"""What a person and a program see of the same events."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from installer.events import Event, parse
from installer.host import Result
from installer.live_view import LiveView
from installer.view import JsonLines, PlainLines, View

RESULT = Result("win1", outcome="ok", changed=1, steps={"path": "changed"})
FAILED = Result("win2", outcome="failed", error="win2: nothing listens on 192.0.2.8:5986. Correct the port.")


def events() -> list[Event]:
    """A run in small."""
    said = [
        {"step": "", "event": "started", "run": "run-1", "mode": "apply", "operator": "me", "release": "0.1.0", "host": "win1", "script_sha256": "0" * 64},
        {"step": "preflight", "event": "unchanged"},
        {"step": "path", "event": "started", "title": "the machine PATH"},
        {"step": "path", "event": "difference", "what": "PATH", "is": None, "should": "C:\\[red]Tools"},
        {"step": "path", "event": "log", "text": "secretly busy"},
        {"step": "path", "event": "progress", "what": "python.zip", "done": 12_000_000, "total": 30_000_000, "unit": "bytes"},
        {"step": "path", "event": "changed"},
        {"step": "", "event": "finished", "outcome": "ok", "differs": True, "changed": 1, "reboot": False, "fingerprint": ""},
    ]
    return [parse(json.dumps({"v": 1, "n": n, "time": "2026-11-22T10:00:00.0000000Z", **event})) for n, event in enumerate(said, 1)]


def show(view: View) -> None:
    view.begin("apply", {"win1": ("preflight", "path"), "win2": ("preflight", "path")})
    for event in events():
        view.event("win1", event)
    view.host_ended(RESULT)
    view.host_ended(FAILED)
    view.end()
    view.summary("apply", {"win1": RESULT, "win2": FAILED}, Path("runs"))


def test_plain_lines_say_what_is_new_and_the_error_once(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    show(PlainLines(click.echo))
    lines = capsys.readouterr().out.splitlines()
    assert "win1  path        difference PATH: is absent, should be C:\\[red]Tools" in lines
    assert "win1  path        changed" in [line.rstrip() for line in lines]
    assert not [line for line in lines if "secretly busy" in line or "python.zip" in line]
    assert sum(FAILED.error in line for line in lines) == 1
    assert lines[-1] == "kept in runs"


def test_json_lines_are_the_events_with_their_host_and_the_summary_last(capsys: pytest.CaptureFixture[str]) -> None:
    show(JsonLines())
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["n"] for item in said[:-1]] == list(range(1, 9)) and {item["host"] for item in said[:-1]} == {"win1"}
    assert said[-1]["event"] == "summary"
    assert said[-1]["hosts"]["win1"] == {"outcome": "ok", "changed": 1, "reboot": False, "steps": {"path": "changed"}}
    assert said[-1]["hosts"]["win2"]["error"] == FAILED.error


def test_the_live_view_shows_bars_and_takes_no_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    view = LiveView(Console(file=screen, force_terminal=True, width=120, color_system=None))
    view.begin("test", {"win1": ("preflight", "path")})
    for event in events():
        view.event("win1", event)
    view.host_ended(RESULT)
    view.end()
    view.summary("apply", {"win1": RESULT}, Path("runs"))
    assert "C:\\[red]Tools" in screen.getvalue() and "2/2" in screen.getvalue()
    assert "win1  ok" in capsys.readouterr().out
