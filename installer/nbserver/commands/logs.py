"""`nbserver logs`: the last lines that notebook servers have logged, and those that follow."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nbserver.base import utc
from nbserver.base.errors import UsageError
from nbserver.base.message import notice
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import results_are_in, say, warn
from nbserver.run import operation
from nbserver.run.result import exit_code
from nbserver.run.server_log import LogReading
from nbserver.view.one_summary import OneSummary

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.options import Options
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask

LINES = 100  # by default
_AGO = re.compile("([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Wanted:
    """What the person asked for: `lines` and `since` as in LogRequest."""

    lines: int
    since: datetime | None
    follow: bool
    as_json: bool


def time_of(text: str) -> datetime:
    """Return the time that an option --since names, with its zone. Raises UsageError."""
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return utc.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            "since-invalid",
            '"{text}" is not a valid time',
            where="--since",
            todo="Specify how long ago, such as 30m, 2h, or 1d, or a time such as 2026-11-29T14:00",
            text=clean(text, 100),
        ) from None


def logs(wanted: Wanted, inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View) -> int:
    """Print the logs of the servers. Return the exit code; to end a follow with Ctrl-C, or by closing the pipe that it writes to, is a success.

    Raises NbserverError before any host is contacted.
    """
    many, printing, stop = len(hosts) > 1, threading.Lock(), threading.Event()
    waiting: dict[str, list[str]] = {host.name: [] for host in hosts}

    def shown_by(host: str) -> Callable[[str], None]:
        def show(line: str) -> None:
            if wanted.as_json:
                text = json.dumps({"event": "server_log", "host": host, "line": line})
            else:
                text = f"{host}  {line}" if many else line
            if wanted.follow:
                with printing:
                    if not say(text):
                        stop.set()  # nobody reads any more
            else:
                waiting[host].append(text)

        return show

    readings = {host.name: LogReading(shown_by(host.name), wanted.lines, wanted.since, wanted.follow) for host in hosts}
    options = replace(options, transfers=readings, forks=max(options.forks or 0, len(hosts)) if wanted.follow else options.forks)
    following = _Following(view)
    results = operation.operate("logs", inventory, hosts, options, ask, following if wanted.follow else view, stop=stop)
    results_are_in(None)  # the run directory has no line of a log
    for lines in waiting.values():
        for line in lines:
            say(line)
    if wanted.follow:
        for result in results.values():
            if result.outcome == "stopped" and not result.error:
                result.outcome = "ok"
        following.show("logs", results)
        results_are_in(None)
    for name, result in results.items():
        if result.outcome == "ok" and not readings[name].shown and not wanted.follow:
            warn(notice("log-without-lines", "{name}: no log lines match the options", name=name))
    return exit_code(results)


class _Following(OneSummary):
    """Does not announce what Ctrl-C stops: it is how to end it."""

    def interrupted(self) -> None:
        """Show nothing."""
