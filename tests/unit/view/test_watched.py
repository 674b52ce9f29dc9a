"""The lines of the live view: what fits the terminal, in which step each host is, and how long the run still takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.events.reader import Event, parse
from nbserver.view.watched import Watched, about

STEPS = ("preflight", "python", "packages")


def event(name: str, step: str = "", **fields: Any) -> Event:
    return parse(json.dumps({"v": 1, "n": 1, "time": "2026-11-22T10:00:00.0000000Z", "step": step, "event": name, **fields}))


def started() -> Event:
    head = {"run": "r", "mode": "apply", "operator": "me", "release": "0.6.0", "host": "web1", "script_sha256": "0" * 64}
    return event("started", **head)


def finished(**fields: Any) -> Event:
    return event("finished", **{"outcome": "ok", "differs": False, "changed": 0, "reboot": False, "fingerprint": "", **fields})


def shown(watched: Watched, width: int = 80, height: int = 24, now: float = 65.0) -> list[str]:
    return ["".join(text for text, _ in line) for line in watched.lines(width, height, now)]


def test_a_host_is_shown_from_its_begin_to_its_end() -> None:
    watched = Watched("apply", {"web1": STEPS, "web2": STEPS}, 0.0, ascii_only=True)
    assert shown(watched) == ["0 of 2 done, 0 active, 2 waiting, 1:05"]
    watched.host_began("web1", 5.0)
    assert shown(watched)[0] == "web1 ----------       connecting     1:00"
    for said, line in (
        (started(), "web1 ----------       checking       1:00"),
        (event("unchanged", "preflight"), "web1 ###-------  2/3  python         1:00"),
        (event("started", "packages", title="the packages"), "web1 ###-------  2/3  packages       1:00  the packages"),
        (event("changed", "python"), "web1 #######---  3/3  packages       1:00"),
        (finished(restarting=True), "web1 #######---       restarting     1:00"),
        (finished(), "web1 #######---       ending         1:00"),
    ):
        watched.event("web1", said, 6.0)
        assert shown(watched)[0] == line
    watched.host_ended("web1", "failed")
    assert shown(watched) == ["1 of 2 done, 1 failed, 0 active, 1 waiting, about 1 min left"]


def test_a_plan_ends_a_step_with_its_differences_and_undo_counts() -> None:
    plan = Watched("test", {"web1": STEPS}, 0.0)
    plan.event("web1", event("difference", "preflight", what="a", **{"is": 1, "should": 2}), 0.0)
    plan.event("web1", event("difference", "preflight", what="b", **{"is": 1, "should": 2}), 0.0)
    assert "2/3  preflight" in shown(plan)[0]
    undo = Watched("undo", {"web1": STEPS}, 0.0)
    for _ in range(3):
        undo.event("web1", event("restored", "packages", kind="file", what="/a"), 0.0)
    assert "    3 packages" in shown(undo)[0]


@pytest.mark.parametrize(("width", "line"), [(40, "2/3  python"), (80, "\u2501\u2501\u2501\u2500"), (140, "Installing")])
def test_a_wider_terminal_shows_more(width: int, line: str) -> None:
    watched = Watched("apply", {"web1": STEPS}, 0.0)
    watched.event("web1", event("unchanged", "preflight"), 0.0)
    assert "Installing" not in shown(watched, 80)[0] and "\u2501" not in shown(watched, 40)[0]
    watched.event("web1", event("progress", "python", what="Installing", done=1, total=2, unit="packages"), 0.0)
    assert line in shown(watched, width)[0]


def test_eighty_columns_are_enough_for_what_a_host_does() -> None:
    watched = Watched("apply", {"local": STEPS}, 0.0)
    watched.event("local", event("progress", "python", what="Compiling the Python modules"), 0.0)
    assert shown(watched, 80)[0].endswith("  Compiling the Python modules")
    watched.event("local", event("progress", "python", what="Downloading the installer of a program with a long name"), 0.0)
    line = shown(watched, 80)[0]
    assert len(line) <= 80 and line.endswith("  Downloading the installer of a \u2026"), "cut off after a word"


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 600), st.integers(0, 600), st.text(max_size=30), st.floats(0, 1e6))
def test_every_line_fits(width: int, height: int, hosts: int, active: int, text: str, now: float) -> None:
    names = [f"{'long-' * (number % 12)}{number}" for number in range(hosts)]
    watched = Watched("apply", dict.fromkeys(names, STEPS), 0.0)
    for number, name in enumerate(names):
        if number < active:
            watched.event(name, event("log", STEPS[number % 3], text=text), 0.0)
        elif number % 3:
            watched.host_ended(name, ("ok", "failed", "unreachable", "reboot", "stopped")[number % 5])
    lines = shown(watched, width, height, now)
    assert 1 <= len(lines) <= max(height, 2) and max(map(len, lines)) <= width


def test_the_time_that_is_left_follows_from_what_is_done() -> None:
    watched = Watched("apply", {f"h{number}": STEPS for number in range(100)}, 0.0)
    assert watched.left(60.0) == ""
    for number in range(25):
        watched.host_ended(f"h{number}", "ok")
    assert watched.left(1.0) == "" and watched.left(600.0) == "about 30 min"
    assert [about(seconds) for seconds in (5, 61, 7000, 36_000)] == [
        "less than a minute",
        "about 1 min",
        "about 1 h 50 min",
        "about 10 h 0 min",
    ]
