"""The end of `nbserver status`: details of one host, or one line for each of several hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.plain_text import clean
from nbserver.run import failures
from nbserver.view import limits, previous

if TYPE_CHECKING:
    from nbserver.run.host_status import HostStatus
    from nbserver.run.result import Result

COLORS = {
    "running": "green",
    "starting": "yellow",
    "stopped": "red",
    "failed": "red",
    "absent": "yellow",
    "none": "green",
    "current": "green",
}
HEAD = ("HOST", "SERVER", "SINCE", "PYTHON", "NOTEBOOK", "PREVIOUS", "CERTIFICATE", "LAST RUN", "SCRIPT", "DRIFT")
PREVIOUS = HEAD.index("PREVIOUS")
VERSIONS = {
    "python": "Python",
    "notebook": "Notebook",
    "jupyter_server": "Jupyter Server",
    "numpy": "NumPy",
    "matplotlib": "Matplotlib",
    "tornado": "Tornado",
    "pyzmq": "pyzmq",
    "openssl": "OpenSSL",
}
STARTS = {"automatic": "starts with the system", "manual": "does not start with the system", "disabled": "disabled", "none": ""}
UNKNOWN = "unknown"
MANY = 3  # hosts with the same error, from which on it is shown once


def status_lines(results: Mapping[str, Result], shown: Collection[str] = ()) -> list[str]:
    """Return the lines. `shown` are errors that were shown as events, which are not repeated for a single host."""
    if len(results) == 1:
        ((name, result),) = results.items()
        lines = list(_details(name, result))
        return lines if not result.error or result.error in shown else [*lines, f"    {result.error}"]
    groups = [group for group in failures.group(results.values()) if len(group.hosts) >= MANY]
    together = {host for group in groups for host in group.hosts}
    head, rows = _without_empty(HEAD, [(name, *_row(result)) for name, result in results.items()])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(head, widths, strict=True)).rstrip()]
    for row, result in zip(rows, results.values(), strict=True):
        lines.append("  ".join(_colored(word) + " " * (width - len(word)) for word, width in zip(row, widths, strict=True)).rstrip())
        if result.error and result.host not in together:
            lines.append(f"    {result.error}")
    for group in groups:
        lines += ["", click.style(f"{len(group.hosts)} hosts for the same reason", bold=True), f"    {group.text}"]
    return lines


def _without_empty(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table without the column PREVIOUS if no host keeps a previous environment."""
    if any(row[PREVIOUS] for row in rows):
        return head, rows
    return head[:PREVIOUS] + head[PREVIOUS + 1 :], [row[:PREVIOUS] + row[PREVIOUS + 1 :] for row in rows]


def _colored(cell: str) -> str:
    color = COLORS.get(cell)
    return click.style(cell, fg=color) if color else cell


def _row(result: Result) -> tuple[str, ...]:
    status = result.status
    if status is None:
        return result.outcome, *("" for _ in HEAD[2:])
    found = status.found
    last = found["last"]
    return (
        found["service"]["state"],
        _minute(found["service"]["since"]),
        found["versions"].get("python", ""),
        found["versions"].get("notebook", ""),
        previous.name(found.get("previous")),
        _days(status.days_left),
        f"{last['mode']} {last['outcome']} {last['started'][:10]} {clean(last['operator'], 40)}".rstrip() if last else "",
        {True: "current", False: "other", None: UNKNOWN}[status.is_current],
        _drift(status, result),
    )


def _details(name: str, result: Result) -> Iterator[str]:
    status = result.status
    if status is None:
        yield f"{name}  {click.style(result.outcome, fg='red')}"
        return
    found = status.found
    state = found["service"]["state"]
    yield f"{name}  {click.style(state, fg=COLORS[state])}"
    for title, text in (
        ("server", _server(found["service"])),
        ("limits", limits.said(found.get("limits"))),
        ("versions", ", ".join(f"{VERSIONS.get(key, key)} {version}" for key, version in _ordered(found["versions"]))),
        ("previous", previous.said(found.get("previous"))),
        ("certificate", _certificate(status)),
        ("last run", _last(found["last"], status.is_here)),
        ("script", _script(status)),
        ("drift", _drift(status, result)),
    ):
        if text:
            yield f"    {title:<12} {text}"


def _server(service: Mapping[str, str]) -> str:
    if service["by"] == "none":
        return "no notebook server is set up"
    since = f"since {_minute(service['since'])} UTC" if service["since"] else ""
    by = {"task": "scheduled task"}.get(service["by"], service["by"])
    return ", ".join(filter(None, (since, STARTS[service["start"]], by)))


def _ordered(versions: Mapping[str, str]) -> list[tuple[str, str]]:
    order = list(VERSIONS)
    return sorted(versions.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))


def _certificate(status: HostStatus) -> str:
    certificate = status.found["certificate"]
    if certificate is None:
        return ""
    return f"{clean(certificate['subject'], 100)}, {_days(status.days_left)} left ({certificate['expires'][:10]}), {certificate['fingerprint']}"


def _days(days: int | None) -> str:
    return "" if days is None else f"{days} day" if days == 1 else f"{days} days"


def _last(last: Mapping[str, Any] | None, is_here: bool | None) -> str:
    if last is None:
        return ""
    elsewhere = " (not a run of this workstation)" if is_here is False else ""
    return f"{last['mode']} {last['outcome']}, {_minute(last['started'])} UTC, {clean(last['operator'], 100)}, {last['run']}{elsewhere}"


def _script(status: HostStatus) -> str:
    if status.is_current is None:
        return ""
    return "as rendered now" if status.is_current else f"another script: {status.found['last']['script_sha256']}"


def _drift(status: HostStatus, result: Result) -> str:
    if result.outcome not in ("ok", "differs"):
        return result.outcome
    if not status.differences:
        return "none"
    steps = ", ".join(name for name, state in result.steps.items() if state == "differs")
    return f"{status.differences} ({steps})"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
