"""Events: what a running script says, from the real Write-Event to the reader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbserver.events.reader import NAMES, Event, EventError, EventOrder, parse, read_object
from tests.powershell.engine import STEP_FILES, Session, host_path, prelude, require_engine

LINE = {"v": 1, "n": 1, "time": "2026-01-02T03:04:05.6789012Z", "step": "python", "event": "log", "text": "hello"}
texts = st.text() | st.sampled_from(["\u2028", "'@", "$(exit)", "`n", "</S>", "\U0001f600", "/Date(1)/", "2020-01-01T00:00:00"])


def event(n: int) -> Event:
    return parse(json.dumps({**LINE, "n": n}))


def test_an_event_is_read() -> None:
    read = parse(json.dumps(LINE))
    assert (read.n, read.time, read.step, read.event, read.data) == (1, LINE["time"], "python", "log", {"text": "hello"})
    assert read.as_json() == LINE
    assert json.loads(read.line) == LINE


WRONG: list[dict[str, Any]] = [
    {"v": 2},
    {"v": "1"},
    {"n": 0},
    {"n": -1},
    {"n": "1"},
    {"n": 1.0},
    {"n": True},
    {"n": None},
    {"time": 1},
    {"step": None},
    {"event": "Log"},
    {"event": "unheard"},
    {"event": None},
    {"event": ["log"]},
    {"event": {}},
]


@pytest.mark.parametrize("line", ["", "hello", "[]", "1", "null", '"text"', '{"v": 1', "[" * 200_000])
def test_what_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(EventError):
        parse(line)


@pytest.mark.parametrize("key", ["v", "n", "time", "step", "event"])
def test_an_event_that_lacks_something_is_refused(key: str) -> None:
    with pytest.raises(EventError):
        parse(json.dumps({name: value for name, value in LINE.items() if name != key}))


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_event_with_a_wrong_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EventError):
        parse(json.dumps({**LINE, **wrong}))


@given(st.text())
def test_any_line_is_an_event_or_refused(line: str) -> None:
    with pytest.raises(EventError):
        parse(line)


@given(st.integers(0, 50), st.integers(0, 50))
def test_events_are_taken_in_order_once(last: int, n: int) -> None:
    sequence = EventOrder(last)
    if n == 0:
        return
    if n <= last:
        assert sequence.accept(event(n)) is False and sequence.last == last
    elif n == last + 1:
        assert sequence.accept(event(n)) is True and sequence.last == n
    else:
        with pytest.raises(EventError, match=f"events {last + 1} to {n - 1} are missing"):
            sequence.accept(event(n))
        assert sequence.last == last


@given(st.lists(st.integers(1, 30)), st.integers(1, 30))
def test_a_stream_with_repetitions_is_complete(overlaps: list[int], length: int) -> None:
    """Coming back after a lost connection may repeat what was read, from any event before."""
    sequence, taken = EventOrder(), []
    for begin in [1, *overlaps]:
        for n in range(min(begin, sequence.last + 1), length + 1):
            if sequence.accept(event(n)):
                taken.append(n)
    assert taken == list(range(1, length + 1))


# ---- the real Write-Event


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "events"))
        yield opened


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
READ_LINES = "$lines = @($input); $Run.Events = 0; $Run.EventFile = ''; $Run.Stopped = $false; $Run.Step = $lines[0]\n"


@many
@given(st.lists(texts, min_size=2, max_size=4))
def test_every_text_survives(session: Session, words: list[str]) -> None:
    script = READ_LINES + "Write-Event log @{ text = $lines[1]; list = @($lines); table = @{ is = $lines[1] } }; Get-Said"
    (line,) = session.run(script, words)
    assert line.isascii() and line.isprintable()
    read = read_object(line)
    assert read["step"] == words[0]
    assert (read["text"], read["list"], read["table"]) == (words[1], words, {"is": words[1]})


@many
@given(texts, st.sampled_from(["text", "number"]))
def test_whatever_else_comes_out_is_a_log_event(session: Session, text: str, kind: str) -> None:
    out = {"text": "$lines[1]", "number": "42"}[kind]
    (line,) = session.run(READ_LINES + f"{out} | Write-OtherOutput; Get-Said", ["", text])
    read = parse(line)
    assert read.event == "log" and read.data == {"text": text if kind == "text" else "42"}


def test_types_survive(session: Session) -> None:
    script = (
        READ_LINES
        + "Write-Event difference @{ is = $null; should = 7; yes = $true; none = @(); one = @('x'); long = 9007199254740993 }; Get-Said"
    )
    (line,) = session.run(script, [""])
    assert {"is": None, "should": 7, "yes": True, "none": [], "one": ["x"], "long": 9007199254740993}.items() <= read_object(line).items()


def test_events_count_up_in_a_run(session: Session) -> None:
    script = READ_LINES + "foreach ($name in $lines) { if ($name) { Write-Event $name } }; Get-Said"
    names = sorted(NAMES)
    sequence = EventOrder()
    read = [read_object(line) for line in session.run(script, ["", *names])]
    assert [found["event"] for found in read] == names
    assert all(sequence.accept(Event(found["n"], found["time"], "", found["event"], {}, "")) for found in read)
    assert all(found["time"].endswith("Z") for found in read)


def test_every_event_of_the_scripts_is_known() -> None:
    """What the scripts write is what the reader knows."""
    written: set[str] = set()
    for path in STEP_FILES.rglob("*.ps1"):
        written.update(re.findall(r"Write-Event ([a-z]+)", path.read_text("ascii")))
    assert written == NAMES


def test_a_kept_event_is_the_one_that_was_sent(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    script = (
        "$lines = @($input); $Run.Events = 0; $Run.Step = ''; $Run.EventFile = $lines[0]\n"
        "Write-Event log @{ text = $lines[1] }; $Run.Stopped = $true\n"
        "try { $scanner = [IO.File]::Open($lines[0], 'Open', 'Read', 'Read') } catch { $scanner = $null }\n"  # it lets nobody write
        "Write-Event warning @{ text = 'x' }; if ($scanner) { $scanner.Close() }; Close-EventFile; Get-Said"
    )
    sent = session.run(script, [host_path(file), "caf\u00e9 \u65e5\u672c"])
    kept = file.read_bytes()
    assert kept.isascii() and b"\r" not in kept
    lines = kept.decode("ascii").splitlines()
    assert lines[:1] == sent  # a stopped pipeline takes no output; the file has the event
    assert [parse(line).event for line in lines] == ["log", "warning"]
