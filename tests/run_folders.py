"""Run directories of a small fleet, as nbserver writes them, with simulated clocks: some hosts change, fail, restart, or never answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ConnectError, ScriptError
from nbserver.base.message import Reported, message
from nbserver.events.reader import Event, parse
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.render.script import Script
from nbserver.run import chain, kept_picture
from nbserver.run.evidence import Evidence
from nbserver.run.journal import HostJournal, Journal
from nbserver.run.result import Result

BEGIN = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
STEPS = ("preflight", "python", "packages", "certificate", "notebook", "service", "firewall", "check", "cleanup")
SECONDS = dict(zip(STEPS, (1.1, 4.0, 41.0, 0.7, 0.5, 2.2, 0.4, 6.0, 0.1), strict=True))
HOST = """
[hosts.{name}]
system = "linux"
address = "{name}.example.com"
user = "anna"
notebook.password = {{ prompt = true }}
"""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: datetime = BEGIN) -> None:
        self.moment = moment

    def after(self, seconds: float) -> str:
        """Moves the clock, and returns the time as events have it."""
        self.moment += timedelta(seconds=seconds)
        return self.now()

    def now(self) -> str:
        return f"{self.moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def scripts(folder: Path, names: Sequence[str]) -> dict[str, Script]:
    """The scripts of Linux hosts with these names."""
    folder.mkdir(exist_ok=True)
    path = folder / "nbserver.toml"
    path.write_text("".join(HOST.format(name=name) for name in names))
    return {script.host: script for script, _ in render_all(list(reader.load(path).hosts.values()))}


class Fleet:
    """One run that is being written. `host` and what it yields write the files of a host; `end` writes the summary."""

    def __init__(self, runs: Path, run: str, scripts: dict[str, Script], mode: str = "apply", begin: datetime = BEGIN) -> None:
        self.clock = Clock(begin)
        self.run, self.mode, self.scripts, self.begin = run, mode, scripts, begin
        self.results: dict[str, Result] = {}
        with self._clocked(self.clock):
            facts = Evidence(list(scripts), command=("apply", "lab"))
            self.journal = Journal(runs, run, mode, "anna@desk", evidence=facts)
        self.folder = self.journal.folder

    @contextmanager
    def _clocked(self, clock: Clock) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("nbserver.run.journal.now", clock.now)
            patched.setattr("nbserver.run.kept_picture.now", clock.now)
            yield

    @contextmanager
    def host(self, name: str, after: float = 0.0) -> Iterator[HostStory]:
        """The host begins that many seconds after the run."""
        clock = Clock(self.begin + timedelta(seconds=after))
        with self._clocked(clock):
            story = HostStory(self, name, clock)
            yield story
            story.part.close()
        story.result.seconds = round((clock.moment - self.begin).total_seconds() - after, 1)
        self.results[name] = story.result
        self.clock.moment = max(self.clock.moment, clock.moment)

    def end(self) -> Path:
        with self._clocked(self.clock):
            self.journal.finish({name: result.as_json() for name, result in sorted(self.results.items())})
        return self.folder


class HostStory:
    """What happens on one host. `skew` is how much its own clock is ahead of the workstation's, in seconds."""

    def __init__(self, fleet: Fleet, name: str, clock: Clock) -> None:
        self.fleet, self.name, self.clock, self.skew = fleet, name, clock, 0.0
        self.script = fleet.scripts[name]
        self.part: HostJournal = fleet.journal.host(self.script)
        self.result = Result(name)
        self.n = 0

    def say(self, event: str, step: str = "", **fields: Any) -> Event:
        self.n += 1
        time = Clock(self.clock.moment + timedelta(seconds=self.skew)).now()
        said = parse(json.dumps({"v": 1, "n": self.n, "time": time, "step": step, "event": event, **fields}))
        self.part.event(said)
        if step and event in ("changed", "unchanged", "failed", "restored"):
            self.result.steps[step] = event
        return said

    def start(self, leg: int = 1) -> None:
        self.clock.after(0.4)
        self.part.sent(())
        self.clock.after(0.2)
        self.n = 0
        run = self.fleet.run if leg == 1 else f"{self.fleet.run}-{leg}"
        head = {"run": run, "mode": self.fleet.mode, "operator": "anna@desk", "release": "0.6.0"}
        self.say("started", **head, host=self.name, script_sha256=self.script.sha256)
        self.clock.after(3.0)

    def steps(self, *names: str, changed: Sequence[str] = (), faster: float = 1.0) -> None:
        for name in names:
            if name in changed:
                self.clock.after(0.3)
                self.say("started", name, title=f"the {name}")
                self.say("difference", name, what=name, **{"is": None, "should": f"{name} 3.13"})
                self.clock.after(SECONDS[name] * faster / 2)
                self.say("progress", name, what="Installing", done=12, total=94, unit="packages")
                self.clock.after(SECONDS[name] * faster / 2)
                self.say("changed", name)
            else:
                self.clock.after(SECONDS[name] / 10)
                self.say("unchanged", name)

    def finish(self, outcome: str = "ok", changed: int = 0, **fields: Any) -> None:
        self.clock.after(0.1)
        facts = {"differs": bool(changed), "changed": changed, "reboot": False, "fingerprint": "", **fields}
        self.say("finished", outcome=outcome, **facts)
        self.result.outcome, self.result.changed, self.result.reboot = outcome, changed, facts["reboot"]

    def fails(self, step: str, text: str, code: str, **values: Any) -> None:
        self.clock.after(2.0)
        self.say("log", step, text="ERROR: No space left on device", program="pip")
        self.say("failed", step, text=text, code=code, values=values, at="line 812")
        self.finish("failed", len([one for one in self.result.steps.values() if one == "changed"]))
        reason = message("step-failed", "{name}, {step}: {reason}", name=self.name, step=step, reason=Reported(code, text, values))
        self.result.fail(ScriptError("script-failed", "{reason}", host=self.name, reason=text))
        self.result.because(reason)

    def refuses(self, after: float = 3.0) -> None:
        """Nothing listens at the port: no script was sent."""
        self.clock.after(after)
        self.result.fail(
            ConnectError(
                "ssh-nothing-listening",
                "{place} refused the connection",
                host=self.name,
                todo="Start the SSH server, or correct the port",
                place=f"{self.name}.example.com:22",
            )
        )
        self.result.outcome = "unreachable"
        self.part.note(self.result.error)


def fleet(folder: Path, picture: bytes = b"", hosts: int = 12) -> list[Path]:
    """The directories of two runs of the same hosts: of the evening before, and of this evening."""
    names = [f"web{number:02}" for number in range(1, hosts + 1)]
    made = scripts(folder, names)
    runs = folder / "nbserver-runs"
    before = Fleet(runs, "20261121T180000Z-0a1b2c", made, begin=BEGIN - timedelta(days=1))
    for number, name in enumerate(names):
        with before.host(name, number // 6 * 4.0) as host:
            host.start()
            host.steps(*STEPS)
            host.finish()
    parts = (*made[names[0]].parts, "# another release\n")
    changed = {**made, names[0]: replace(made[names[0]], parts=parts, sha256=hashlib.sha256("".join(parts).encode()).hexdigest())}
    now = Fleet(runs, "20261122T180000Z-7ab115", changed)
    for number, name in enumerate(names):
        with now.host(name, number // 6 * 50.0) as host:
            _one(host, number)
    now.end()
    if picture:
        (folder / "verified.png").write_bytes(picture)
        assert kept_picture.NAME == "verified.png"
        (now.folder / names[0] / kept_picture.NAME).write_bytes(picture)
    return [before.end(), now.folder]


def _one(host: HostStory, number: int) -> None:
    if number in (3, 4, 8, 9, 10):
        return host.refuses()
    host.skew = -7200.0 if number == 5 else 0.0
    host.start()
    if number in (1, 7):
        host.steps("preflight", "python", changed=("python",))
        host.clock.after(0.3)
        host.say("started", "packages", title="the packages")
        return host.fails("packages", "pip could not install the packages. Free up disk space on /", "command-failed", command="pip")
    if number == 6:
        host.say("warning", "preflight", text="3 GB of disk space are free")
        host.steps("preflight", "python", "packages", changed=("python",))
        host.finish("reboot", 1, reboot=True, restarting=True)
        host.clock.after(60.0)
        host.start(leg=2)
        host.result.changed = 0
    changes = {0: STEPS[:6], 2: ("packages", "service"), 6: ("packages",)}.get(number, ())
    host.steps(*STEPS, changed=changes, faster=1 + number / 4)
    host.finish("ok", len(changes))
    if number == 6:
        host.result.changed = 1 + len(changes)


def killed(folder: Path) -> Path:
    """The directory of a run whose nbserver was killed: one host is done, one is in the middle, one has not begun."""
    made = scripts(folder, ("web01", "web02", "web03"))
    run = Fleet(folder / "nbserver-runs", "20261122T180000Z-dead00", made)
    with run.host("web01") as host:
        host.start()
        host.steps(*STEPS)
        host.finish()
    with run.host("web02") as host:
        host.start()
        host.steps("preflight", "python")
        host.say("started", "packages", title="the packages")
        host.clock.after(20)
        host.say("log", "packages", text="Collecting numpy")
    assert chain.FILE in {path.name for path in run.folder.iterdir()}
    return run.folder
