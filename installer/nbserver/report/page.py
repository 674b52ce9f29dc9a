"""The report as one HTML page that loads nothing."""

from __future__ import annotations

import base64

from nbserver.pages.page import rendered
from nbserver.report.before import Comparison
from nbserver.report.host_events import CHECKING, MOST_DIFFERENCES, RESTART, RESUMED
from nbserver.report.moments import duration, shown
from nbserver.report.run_files import MODES
from nbserver.report.statements import LOG_LINES, NOT_STARTED, UNFINISHED, Bar, Host, Report

WIDTH = 1000  # units of a timeline
OUTCOMES = ("failed", "unreachable", "reboot", "stopped", UNFINISHED, NOT_STARTED, "differs", "ok")  # what needs attention first
WORDS = {"ok": "up to date", "differs": "from the inventory", "reboot": "must restart first"}
MOST_CHANGES = 2000  # rows


def page(report: Report, comparison: Comparison | None = None) -> str:
    """Return the page."""
    pictures = [host for host in report.hosts if host.picture]
    values = {
        "report": report,
        "head": report.head,
        "command": MODES[report.head.mode],
        "comparison": comparison,
        "changes": comparison.rows[:MOST_CHANGES] if comparison else (),
        "outcomes": [(name, report.outcomes[name]) for name in OUTCOMES if name in report.outcomes],
        "words": WORDS,
        "kinds": {host.name: host.kind for host in report.hosts if host.failed},
        "ticks": [duration(report.seconds * part / 4) for part in range(5)],
        "pictures": pictures,
        "data": {host.name: f"data:image/png;base64,{base64.b64encode(host.picture).decode()}" for host in pictures},
        "lane": lambda host: _lane(host, report.seconds),
        "duration": duration,
        "shown": shown,
        "log_lines": LOG_LINES,
        "most_differences": MOST_DIFFERENCES,
        "checking": CHECKING,
        "restart": f"{RESTART}, or {RESUMED}",
    }
    return rendered("report", _title(report), _sections(report, comparison), values, pictures=bool(pictures))


def _title(report: Report) -> str:
    count = len(report.hosts)
    hosts = f"{count} host{'s' if count != 1 else ''}"
    when = f"{shown(report.head.start)} UTC" if report.head.start else report.head.run
    return f"{MODES[report.head.mode]} of {hosts}, {when}"


def _sections(report: Report, comparison: Comparison | None) -> list[tuple[str, str]]:
    failures = [("failures", "Failures")] if report.failures else []
    before = [("before", "Compared with the run before")] if comparison else []
    pictures = [("pictures", "Pictures")] if any(host.picture for host in report.hosts) else []
    return [
        *failures,
        ("timeline", "Timeline"),
        ("steps", "Steps"),
        *before,
        ("hosts", "Hosts"),
        *pictures,
        ("scripts", "Scripts"),
        ("run", "The run"),
    ]


def _lane(host: Host, seconds: float) -> list[tuple[float, float, str, str]]:
    """Return (x, width, class, text) of each bar of a host, first the one behind them: from its begin to its end."""
    scale = WIDTH / seconds if seconds > 0 else 0.0
    whole = (host.begin * scale, (host.end - host.begin) * scale)
    behind = f"all {'bad' if host.failed else ''}".strip()
    bars = [(*_least(*whole), behind, f"{host.name}: {host.outcome}, {duration(host.end - host.begin)}")]
    for bar in host.bars:
        x, width = _least(bar.begin * scale, (bar.end - bar.begin) * scale, 0.5)
        bars.append(
            (x, width, _kind(bar), f"{bar.what or 'other'}{f' {bar.result}' if bar.result else ''}, {duration(bar.end - bar.begin)}")
        )
    return bars


def _least(x: float, width: float, least: float = 2.0) -> tuple[float, float]:
    """Return a bar that is wide enough to be seen, and ends within the timeline."""
    width = max(width, least)
    return round(min(x, WIDTH - width), 2), round(width, 2)


def _kind(bar: Bar) -> str:
    return {CHECKING: "checking", RESTART: "restart", RESUMED: "restart", "": "rest"}.get(bar.what, bar.result)
