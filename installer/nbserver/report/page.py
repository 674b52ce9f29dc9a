"""The report as one HTML page that loads nothing."""

from __future__ import annotations

import base64
from functools import partial

from nbserver.language.language import ENGLISH, Language
from nbserver.pages.page import rendered
from nbserver.report.before import Comparison
from nbserver.report.host_events import CHECKING, MOST_DIFFERENCES, RESTART, RESUMED
from nbserver.report.moments import duration, shown
from nbserver.report.run_files import COMMANDS
from nbserver.report.statements import LOG_LINES, NOT_STARTED, UNFINISHED, Bar, Host, Report

MODE_WORDS = ("missing downloads", "delivery")  # of COMMANDS, those that are not commands
WIDTH = 1000  # units of a timeline
OUTCOMES = ("failed", "unreachable", "reboot", "stopped", UNFINISHED, NOT_STARTED, "differs", "ok")  # what needs attention first
WORDS = {"ok": "up to date", "differs": "from the inventory", "reboot": "must restart first"}
MOST_CHANGES = 2000  # rows


def page(report: Report, comparison: Comparison | None = None, language: Language = ENGLISH) -> str:
    """Return the page."""
    pictures = [host for host in report.hosts if host.picture]
    values = {
        "report": report,
        "head": report.head,
        "command": COMMANDS[report.head.mode],
        "comparison": comparison,
        "changes": comparison.rows[:MOST_CHANGES] if comparison else (),
        "outcomes": [(name, report.outcomes[name]) for name in OUTCOMES if name in report.outcomes],
        "words": WORDS,
        "kinds": {host.name: host.kind for host in report.hosts if host.failed},
        "ticks": [duration(report.seconds * part / 4, language) for part in range(5)],
        "pictures": pictures,
        "data": {host.name: f"data:image/png;base64,{base64.b64encode(host.picture).decode()}" for host in pictures},
        "lane": lambda host: _lane(host, report.seconds, language),
        "duration": partial(duration, language=language),
        "shown": shown,
        "log_lines": LOG_LINES,
        "most_differences": MOST_DIFFERENCES,
        "checking": language.word(CHECKING),
        "restart": language.text("restart, or until resumed"),
    }
    sections = _sections(report, comparison, language)
    return rendered("report", _title(report, language), sections, values, pictures=bool(pictures), language=language)


def _title(report: Report, language: Language) -> str:
    when = f"{shown(report.head.start)} UTC" if report.head.start else report.head.run
    command, count = language.word(COMMANDS[report.head.mode]), len(report.hosts)
    return language.plural("{command} of {count} host, {time}", "{command} of {count} hosts, {time}", count, command=command, time=when)


def _sections(report: Report, comparison: Comparison | None, language: Language) -> list[tuple[str, str]]:
    failures = [("failures", language.text("Failures"))] if report.failures else []
    before = [("before", language.text("Compared with the run before"))] if comparison else []
    pictures = [("pictures", language.text("Pictures"))] if any(host.picture for host in report.hosts) else []
    return [
        *failures,
        ("timeline", language.text("Timeline")),
        ("steps", language.text("Steps")),
        *before,
        ("hosts", language.text("Hosts")),
        *pictures,
        ("scripts", language.text("Scripts")),
        ("run", language.text("The run")),
    ]


def _lane(host: Host, seconds: float, language: Language) -> list[tuple[float, float, str, str]]:
    """Return (x, width, class, text) of each bar of a host, first the one behind them: from its begin to its end."""
    scale = WIDTH / seconds if seconds > 0 else 0.0
    whole = (host.begin * scale, (host.end - host.begin) * scale)
    behind = f"all {'bad' if host.failed else ''}".strip()
    bars = [
        (
            *_least(*whole),
            behind,
            f"{host.name}: {language.joined((language.word(host.outcome), duration(host.end - host.begin, language)))}",
        )
    ]
    for bar in host.bars:
        x, width = _least(bar.begin * scale, (bar.end - bar.begin) * scale, 0.5)
        words = " ".join(filter(None, (language.word(bar.what or "other"), language.word(bar.result))))
        bars.append((x, width, _kind(bar), language.joined((words, duration(bar.end - bar.begin, language)))))
    return bars


def _least(x: float, width: float, least: float = 2.0) -> tuple[float, float]:
    """Return a bar that is wide enough to be seen, and ends within the timeline."""
    width = max(width, least)
    return round(min(x, WIDTH - width), 2), round(width, 2)


def _kind(bar: Bar) -> str:
    return {CHECKING: "checking", RESTART: "restart", RESUMED: "restart", "": "rest"}.get(bar.what, bar.result)
