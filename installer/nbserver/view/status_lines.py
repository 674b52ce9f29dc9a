"""The end of `nbserver status`: details of one host, or one line for each of several hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from nbserver.base import folding
from nbserver.base.plain_text import clean
from nbserver.language.language import ENGLISH, Language
from nbserver.run import failures
from nbserver.view import limits, previous
from nbserver.view.error_text import error_text, group_text

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
HEAD_WORDS = ("HOST", "SERVER", "SINCE", "PYTHON", "NOTEBOOK", "PREVIOUS", "CERTIFICATE", "LAST RUN", "SCRIPT", "DRIFT")
BELOW_WORDS = ("PYTHON", "NOTEBOOK", "PREVIOUS", "LAST RUN")
PREVIOUS = HEAD_WORDS.index("PREVIOUS")
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
START_WORDS = {"automatic": "starts with the system", "manual": "does not start with the system", "disabled": "disabled", "none": ""}
STATE_WORDS = ("running", "starting", "stopped", "failed", "absent", "none", "current", "other", "unknown")
TITLE_WORDS = ("server", "limits", "versions", "previous", "certificate", "last run", "script", "drift")
MANY = 3  # hosts with the same error, from which on it is shown once


def status_lines(results: Mapping[str, Result], shown: Collection[str] = (), language: Language = ENGLISH, columns: int = 0) -> list[str]:
    """Return the lines. `shown` are errors that were shown as events, which are not repeated for a single host.

    On a terminal with fewer columns than the table, a host has two lines. 0 columns are no limit.
    """
    if len(results) == 1:
        ((name, result),) = results.items()
        lines = list(_details(name, result, language))
        return lines if not result.error or result.error in shown else [*lines, f"    {error_text(result, language)}"]
    groups = [group for group in failures.group(results.values()) if len(group.hosts) >= MANY]
    together = {host for group in groups for host in group.hosts}
    titles, rows = _without_empty(HEAD_WORDS, [(name, *_row(result, language)) for name, result in results.items()])
    colors = {language.word(state): color for state, color in COLORS.items()}
    head, *lines_of_hosts = _aligned([tuple(map(language.word, titles)), *rows], _parts(titles), columns, colors)
    lines = list(head)
    for host_lines, result in zip(lines_of_hosts, results.values(), strict=True):
        lines += host_lines
        if result.error and result.host not in together:
            lines.append(f"    {error_text(result, language)}")
    for group in groups:
        said = language.text("{count} hosts for the same reason", count=len(group.hosts))
        lines += ["", click.style(said, bold=True), f"    {group_text(group, language)}"]
    return lines


def _without_empty(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table without the column PREVIOUS if no host keeps a previous environment."""
    if any(row[PREVIOUS] for row in rows):
        return head, rows
    return head[:PREVIOUS] + head[PREVIOUS + 1 :], [row[:PREVIOUS] + row[PREVIOUS + 1 :] for row in rows]


def _parts(titles: tuple[str, ...]) -> list[list[int]]:
    """Return the columns of both lines that a host has where one line is too narrow. A long drift then ends its line."""
    below = [column for column, title in enumerate(titles) if title in BELOW_WORDS]
    return [[column for column in range(len(titles)) if column not in below], below]


def _aligned(rows: list[tuple[str, ...]], parts: list[list[int]], columns: int, colors: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the lines of each row: one if all fit in the columns, or if there is no such limit (0), otherwise one for each part."""
    widths = [max(map(folding.width, column)) for column in zip(*rows, strict=True)]
    if not columns or sum(widths) + 2 * (len(widths) - 1) <= columns:
        parts = [list(range(len(widths)))]
    for row in rows:
        lines = []
        for part, indent in zip(parts, ("", "    "), strict=False):
            cells = (_colored(row[at], colors) + " " * (widths[at] - folding.width(row[at])) for at in part)
            lines.append((indent + "  ".join(cells)).rstrip())
        yield [line for line in lines if line]


def _colored(cell: str, colors: Mapping[str, str]) -> str:
    color = colors.get(cell)
    return click.style(cell, fg=color) if color else cell


def _row(result: Result, language: Language) -> tuple[str, ...]:
    status = result.status
    if status is None:
        return language.word(result.outcome), *("" for _ in HEAD_WORDS[2:])
    found = status.found
    last = found["last"]
    outcome = language.word(last["outcome"]) if last else ""
    return (
        language.word(found["service"]["state"]),
        _minute(found["service"]["since"]),
        found["versions"].get("python", ""),
        found["versions"].get("notebook", ""),
        previous.name(found.get("previous")),
        _days(status.days_left, language),
        f"{last['mode']} {outcome} {last['started'][:10]} {clean(last['operator'], 40)}".rstrip() if last else "",
        language.word({True: "current", False: "other", None: "unknown"}[status.is_current]),
        _drift(status, result, language),
    )


def _details(name: str, result: Result, language: Language) -> Iterator[str]:
    status = result.status
    if status is None:
        yield f"{name}  {click.style(language.word(result.outcome), fg='red')}"
        return
    found = status.found
    state = found["service"]["state"]
    yield f"{name}  {click.style(language.word(state), fg=COLORS[state])}"
    versions = language.joined(f"{VERSIONS.get(key, key)} {version}" for key, version in _ordered(found["versions"]))
    texts = (
        _server(found["service"], language),
        limits.said(found.get("limits"), language),
        versions,
        previous.said(found.get("previous"), language),
        _certificate(status, language),
        _last(found["last"], status.is_here, language),
        _script(status, language),
        _drift(status, result, language),
    )
    width = max(12, *(folding.width(language.word(title)) for title in TITLE_WORDS))
    for title, text in zip(TITLE_WORDS, texts, strict=True):
        if text:
            yield f"    {folding.padded(language.word(title), width)} {text}"


def _server(service: Mapping[str, str], language: Language) -> str:
    if service["by"] == "none":
        return language.text("no notebook server is set up")
    since = language.text("since {time} UTC", time=_minute(service["since"])) if service["since"] else ""
    by = {"task": language.text("scheduled task"), "background": language.text("background")}.get(service["by"], service["by"])
    return language.joined((since, language.word(START_WORDS[service["start"]]), by))


def _ordered(versions: Mapping[str, str]) -> list[tuple[str, str]]:
    order = list(VERSIONS)
    return sorted(versions.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))


def _certificate(status: HostStatus, language: Language) -> str:
    certificate = status.found["certificate"]
    if certificate is None:
        return ""
    left = language.text("{days} left ({date})", days=_days(status.days_left, language), date=certificate["expires"][:10])
    return language.joined((clean(certificate["subject"], 100), left, certificate["fingerprint"]))


def _days(days: int | None, language: Language) -> str:
    return "" if days is None else language.plural("{count} day", "{count} days", days)


def _last(last: Mapping[str, Any] | None, is_here: bool | None, language: Language) -> str:
    if last is None:
        return ""
    elsewhere = f" ({language.text('not a run of this workstation')})" if is_here is False else ""
    outcome, operator = language.word(last["outcome"]), clean(last["operator"], 100)
    return language.joined((f"{last['mode']} {outcome}", f"{_minute(last['started'])} UTC", operator, f"{last['run']}{elsewhere}"))


def _script(status: HostStatus, language: Language) -> str:
    if status.is_current is None:
        return ""
    if status.is_current:
        return language.text("as rendered now")
    return language.text("another script: {sha256}", sha256=status.found["last"]["script_sha256"])


def _drift(status: HostStatus, result: Result, language: Language) -> str:
    if result.outcome not in ("ok", "differs"):
        return language.word(result.outcome)
    if not status.differences:
        return language.text("none")
    steps = language.joined(name for name, state in result.steps.items() if state == "differs")
    return f"{status.differences} ({steps})"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
