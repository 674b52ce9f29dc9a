"""A run that a person watches, without hosts: what `nbserver.view.choice` chooses shows it on the terminal of this process.

    python -m tests.processes.watching HOSTS

Standard output and standard error are a terminal. The middle of the run is drawn, followed by the line MIDDLE; then the run ends.
It prints whether rich was imported. Time is simulated.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from nbserver.base.errors import ConnectError
from nbserver.events.description import failure
from nbserver.events.reader import Event, parse
from nbserver.run.result import Result
from nbserver.view import choice

MIDDLE = b"\x1b]2;middle\x07"  # the title of a window: no terminal shows it
STEPS = ("preflight", "python", "packages", "certificate", "notebook", "service", "firewall", "check", "cleanup")
TEXT = "Installing \u6f22\u5b57 [red]numpy[/red]"
_numbers = itertools.count(1)


def event(step: str, name: str, **fields: Any) -> Event:
    head = {"v": 1, "n": next(_numbers), "time": "2026-11-22T10:00:00.0000000Z", "step": step, "event": name}
    return parse(json.dumps({**head, **fields}))


def refused(host: str) -> Result:
    result = Result(host)
    place, todo = f"{host}.example.com:22", "Start the SSH server, or correct the port"
    result.fail(ConnectError("ssh-nothing-listening", "{place} refused the connection", host=host, todo=todo, place=place))
    result.outcome, result.seconds = "unreachable", 0.1
    return result


def main() -> None:
    view: Any = choice.choose(False)._view  # type: ignore[attr-defined]
    live = getattr(view, "_live", None)
    now = 0.0
    if live is not None:
        view._clock = lambda: now
        live.auto_refresh = False
    hosts = [f"web{number:03}" for number in range(1, int(sys.argv[1]) + 1)]
    view.begin("apply", dict.fromkeys(hosts, STEPS))
    results: dict[str, Result] = {}
    half = len(hosts) // 2
    begins = getattr(view, "host_began", lambda host: None)
    for number, host in enumerate(hosts[:half]):
        begins(host)
        if number % 5 == 3:
            results[host] = refused(host)
        elif number == 1:
            failed = event("packages", "failed", text="pip could not install the packages: there is no space on /")
            view.event(host, failed)
            results[host] = Result(host, changed=1, seconds=31.0)
            results[host].because(failure(host, failed))
        else:
            for step in STEPS:
                view.event(host, event(step, "changed" if step == "packages" and number % 2 else "unchanged"))
            results[host] = Result(host, outcome="ok", changed=number % 2, seconds=40.0)
        now += 3.0
        view.host_ended(results[host])
    for number, host in enumerate(hosts[half:]):
        if number >= max(1, half // 2):
            break
        begins(host)
        for step in STEPS[: number % 4]:
            view.event(host, event(step, "unchanged"))
        if number % 4 == 2:
            view.event(host, event("packages", "started", title="the packages"))
            view.event(host, event("packages", "progress", what=TEXT, done=12, total=94, unit="packages"))
        now += 2.5
    if live is not None:
        live.refresh()
    os.write(2, MIDDLE)
    for host in hosts[half:]:
        results[host] = Result(host, outcome="ok", seconds=12.5)
        view.host_ended(results[host])
    view.end()
    view.summary("apply", results, Path("nbserver-runs/20261122T180000Z-7ab115"))
    print(f"rich was {'' if 'rich' in sys.modules else 'not '}imported")


if __name__ == "__main__":
    main()
