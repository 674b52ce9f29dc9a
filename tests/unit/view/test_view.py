"""What a person and a program see of the same events."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import click
import pytest
from rich.console import Console

from nbserver.base.errors import InventoryError, ScriptError
from nbserver.cli import program
from nbserver.events.description import failure
from nbserver.events.reader import Event, parse
from nbserver.language.language import ENGLISH
from nbserver.language.translated import Translated
from nbserver.run.result import Result
from nbserver.run.view import View
from nbserver.view.json_lines import JsonLines
from nbserver.view.live import LiveView, _has_characters
from nbserver.view.plain_lines import PlainLines
from nbserver.view.summary import summary_lines
from tests.checkout import SOURCE

RESULT = Result("win1", outcome="ok", changed=1, steps={"path": "changed"})
FAILED = Result("win2", outcome="failed", error="win2: 192.0.2.8:5986 refused the connection. Correct the port.")


def events() -> list[Event]:
    """A run in small."""
    said = [
        {
            "step": "",
            "event": "started",
            "run": "run-1",
            "mode": "apply",
            "operator": "me",
            "release": "0.1.0",
            "host": "win1",
            "script_sha256": "0" * 64,
        },
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
    assert lines[-1] == "Scripts, events, and logs are in runs"


@pytest.mark.parametrize("kind", [PlainLines, LiveView])
def test_a_failure_that_was_shown_is_not_repeated_for_a_single_host(
    kind: type[PlainLines | LiveView], capsys: pytest.CaptureFixture[str]
) -> None:
    view = PlainLines(click.echo) if kind is PlainLines else LiveView(Console(stderr=True, highlight=False))
    line = {"v": 1, "n": 2, "time": "2026-11-22T10:00:00.0000000Z", "step": "python", "event": "failed", "text": "there is no space"}
    failed = parse(json.dumps(line))
    view.begin("apply", {"win2": ("python",)})
    view.event("win2", failed)
    view.end()
    result = Result("win2", error=str(failure("win2", failed)))
    view.summary("apply", {"win2": result}, Path("runs"))
    said = "".join(capsys.readouterr())
    assert said.count("there is no space") == 1 and "win2  failed" in said
    view.summary("apply", {"win1": RESULT, "win2": result}, Path("runs"))
    view.summary("apply", {"win2": Result("win2", error="win2: connection lost")}, Path("runs"))
    said = "".join(capsys.readouterr())
    assert said.count("there is no space") == 1 and "connection lost" in said


def test_json_lines_are_the_events_with_their_host_and_the_summary_last(capsys: pytest.CaptureFixture[str]) -> None:
    show(JsonLines())
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["n"] for item in said[:-3]] == list(range(1, 9)) and {item["host"] for item in said[:-3]} == {"win1"}
    ended = {"event": "ended", "outcome": "ok", "error_kind": None, "code": None, "changed": 1, "seconds": None}
    assert said[-3] == {"host": "win1", **ended}
    assert said[-2] == {"host": "win2", **ended, "outcome": "failed", "error_kind": "internal", "changed": 0}
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


NASTY = "one\x1b]0;title\x07 \x1b[2J[link=https://example.com]two[/link] :skull: \u202e\u2066 \r\nwin2  path  changed\u2028 \x9b31m \\"
CLEAN = "one\ufffd]0;title\ufffd \ufffd[2J[link=https://example.com]two[/link] :skull: \ufffd\ufffd / win2  path  changed / \ufffd31m \\"


def nasty() -> list[Event]:
    said = [
        {"step": "path", "event": "started", "title": NASTY},
        {"step": "path", "event": "difference", "what": NASTY, "is": NASTY, "should": NASTY},
        {"step": "path", "event": "log", "text": NASTY, "program": NASTY},
        {"step": "path", "event": "progress", "what": NASTY, "done": 2**53 - 1, "total": 0},
        {"step": "path", "event": "restored", "kind": NASTY, "what": NASTY},
        {"step": "path", "event": "warning", "text": NASTY},
        {"step": "path", "event": "failed", "text": NASTY},
    ]
    return [parse(json.dumps({"v": 1, "n": n, "time": "2026-11-22T10:00:00.0000000Z", **event})) for n, event in enumerate(said, 1)]


def test_what_a_host_says_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    screen, written = io.StringIO(), []
    for view in (
        PlainLines(written.append),
        LiveView(Console(file=screen, force_terminal=True, width=2000, color_system=None)),
        JsonLines(),
    ):
        view.begin("test", {"win1": ("preflight", "path")})
        for event in nasty():
            view.event("win1", event)
        view.end()
    lines = [click.unstyle(line) for line in written]
    assert all(line.isprintable() for line in lines)
    assert f"win1  path        failed     {CLEAN}" in lines
    assert CLEAN in screen.getvalue() and not {"\x07", "\u202e", "\u2066", "\x9b", "\u2028"} & set(screen.getvalue())
    assert "\x1b]" not in screen.getvalue() and "\x1b[2J" not in screen.getvalue()
    out = capsys.readouterr().out
    assert out.isascii() and out.replace("\n", "").isprintable()
    assert [json.loads(line)["text"] for line in out.splitlines() if "text" in json.loads(line)] == [NASTY] * 3, "a program gets all of it"


def test_an_error_is_shown_clean_wherever_its_text_comes_from() -> None:
    error = ScriptError(
        "powershell-failed", "PowerShell could not run the script: {reason}", host="win1", todo="{advice}", reason=NASTY, advice=NASTY
    )
    assert str(error) == f"win1: PowerShell could not run the script: {CLEAN}. {CLEAN}" and str(error).isprintable()
    result = Result("win1")
    result.fail(InventoryError("two-lines", "two\nlines \x1b[2J {text}", text=NASTY))
    assert result.error.isprintable()
    assert str(InventoryError("two-lines", "two\nlines\x1b")) == "two\nlines\ufffd"


def test_a_terminal_that_lacks_a_character_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(program.cli, "main", lambda **given: sys.stdout.write(CLEAN))
    with pytest.raises(SystemExit):
        program.main()
    out.flush()
    assert b"\\ufffd" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_brief_summary_of_many_hosts_has_lines_only_for_news() -> None:
    differs = {
        f"d{number}": Result(f"d{number}", outcome="differs", steps={"python": "unchanged", "path": "differs"}) for number in range(3)
    }
    fine = {f"h{number}": Result(f"h{number}", outcome="ok") for number in range(20)}
    refused = {}
    for number in range(20):
        refused[f"r{number}"] = Result(f"r{number}")
        refused[f"r{number}"].fail(ScriptError("bash-missing", "there is no bash", host=f"r{number}"))
    results = differs | fine | refused
    lines = [click.unstyle(line) for line in summary_lines("test", results, Path("runs"), brief=True)]
    assert lines[:3] == [f"d{number}  differs  path" for number in range(3)]
    assert lines[4] == f"20 hosts for the same reason: {', '.join(refused)}" and lines[5] == "    r0: there is no bash"
    assert lines[7:] == ["20 hosts  ok  up to date", "43 hosts: 20 ok, 3 differs, 20 failed", "Scripts, events, and logs are in runs"]
    whole = [click.unstyle(line) for line in summary_lines("test", results, Path("runs"))]
    assert len(whole) == 43 + 4 + 2 and whole.count("    r0: there is no bash") == 1
    assert "d0   differs  run nbserver apply to make the changes" in whole


@pytest.mark.parametrize(
    ("code", "changed", "unchanged"),
    [
        ("en", "win1  ok  5 steps changed, reboot pending, 3.2 s", "win1  ok  up to date, 3.2 s"),
        ("fr", "win1  ok  5 étapes modifiées, redémarrage en attente, 3.2 s", "win1  ok  à jour, 3.2 s"),
        ("ja", "win1  OK  5 ステップを変更しました、再起動待ち、3.2 秒", "win1  OK  最新の状態です、3.2 秒"),
    ],
)
def test_a_host_is_up_to_date_or_says_what_apply_has_changed(code: str, changed: str, unchanged: str) -> None:
    said = ENGLISH if code == "en" else Translated(code)
    for changes, reboot, line in ((5, True, changed), (0, False, unchanged)):
        results = {"win1": Result("win1", outcome="ok", changed=changes, reboot=reboot, seconds=3.2)}
        assert click.unstyle(summary_lines("apply", results, Path("runs"), language=said)[0]) == line


def test_only_the_language_joins_the_parts_of_a_list() -> None:
    """The log and JUnit XML are for programs, in English."""
    found = [
        path.name
        for path in (SOURCE / "nbserver" / "view").glob("*.py")
        if re.search(r"""["'], ["'][.]join""", path.read_text("utf-8")) and path.name not in ("log_file.py", "junit.py")
    ]
    assert found == []


@pytest.mark.parametrize(("mode", "named"), [("test", True), ("apply", True), ("undo", True), ("rotate", False), ("check", False)])
def test_unreachable_hosts_are_tried_again_with_resume(mode: str, named: bool) -> None:
    results = {"a": Result("a", outcome="ok"), "b": Result("b", outcome="unreachable", error="b: no answer")}
    lines = summary_lines(mode, results, Path("runs") / "20261129-100000-0abc")
    assert ("To try the unreachable hosts again, run nbserver resume 20261129-100000-0abc" in lines) is named
    assert not any("resume" in line for line in summary_lines(mode, {"a": results["a"]}, Path("runs")))


def test_a_console_of_older_windows_gets_ascii() -> None:
    for console, has in (
        (Console(file=io.StringIO(), legacy_windows=True), False),
        (Console(file=io.TextIOWrapper(io.BytesIO(), encoding="cp850")), False),
        (Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8")), True),
    ):
        assert _has_characters(console) is has
