"""The SSH connection is cut at every kind of place: nothing runs in part, nothing runs twice, every event is kept once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.run import host_run
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.run.result import Result
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, Transport
from tests import canary
from tests.boxes.ssh.fixtures import PASSWORD, host_of, sshd, state, text_of, user, wait_until, wire  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, small_script
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.wire import Direction, Wire
from tests.tier import FULL, points


class Runs:
    """Runs of the small script by the real HostRun with a real journal."""

    def __init__(self, sshd: Sshd, wire: Wire, user: User, state: Path, folder: Path, **settings: Any) -> None:
        self.state, self.folder = state, folder
        self.struck = host_of(sshd, user, port=wire.port, **settings)
        self.steady = host_of(sshd, user, **settings)
        self.script = small_script("linux1", state)
        self.stop = threading.Event()
        self.connections = 0
        self.at_second: Callable[[], object] = lambda: None

    def connect(self) -> Transport:
        """The first connection goes over the wire, which may be cut; what follows does not, and comes when it is clear what became of that one."""
        self.connections += 1
        if self.connections > 1:
            assert wait_until(self.is_settled)
        if self.connections == 2:
            self.at_second()
        return connect_to(self.struck if self.connections == 1 else self.steady, LogonSecrets(sudo_password=PASSWORD), self.stop)

    def apply(self) -> tuple[Result, list[str]]:
        """How it ended, and the lines of the journal."""
        self.connections = 0
        journal = Journal(self.folder / "runs", new_run_id(), "apply", "me")
        part = journal.host(self.script)
        self.run = journal.run
        try:
            run = HostRun(self.struck, self.script, "apply", journal.run, part, lambda name, event: None)
            result = run.execute(self.connect, "me", {"a.b": "Canary"}, self.stop)
        finally:
            part.close()
        return result, (self.folder / "runs" / journal.run / "linux1" / "events.jsonl").read_text().splitlines()

    def kept(self) -> list[str]:
        """What the host has of the last run."""
        file = self.state / f"{self.run}.jsonl"
        return file.read_text().splitlines() if file.exists() else []

    def is_settled(self) -> bool:
        """The last run's script has begun, or nothing that could still begin it is left on the host."""
        return bool(self.kept()) or not any(self.script.sha256.encode() in line for line in canary.command_lines())

    def is_over(self) -> bool:
        """The same, and what has begun has ended."""
        return self.is_settled() and (not self.kept() or '"finished"' in self.kept()[-1])

    def times(self) -> int:
        """How often the last run's script ran."""
        file = self.state / "applied"
        return file.read_text().split().count(self.run) if file.exists() else 0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.05, 0.2, 0.5))
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.05, 0.2))


@pytest.fixture
def runs(sshd: Sshd, wire: Wire, user: User, state: Path, tmp_path: Path) -> Runs:
    return Runs(sshd, wire, user, state, tmp_path)


def whole(runs: Runs, result: Result, lines: list[str]) -> None:
    assert (result.outcome, result.error) == ("ok", "")
    assert [json.loads(line)["n"] for line in lines] == list(range(1, EVENTS + 1)) and lines == runs.kept()
    assert runs.times() == 1


def nothing(runs: Runs, result: Result, lines: list[str]) -> None:
    assert result.outcome in ("failed", "unreachable") and not lines
    assert any(words in result.error for words in ("the connection to", "closed it before the login")), result.error
    assert runs.times() == 0 and not runs.kept()


def undisturbed(runs: Runs, wire: Wire, direction: Direction) -> int:
    """How many bytes go that way."""
    whole(runs, *runs.apply())
    return wire.passed[direction]


@pytest.mark.parametrize(
    ("direction", "sudo"),
    points([("up", False), ("up", True), ("down", False), ("down", True)], ("up", True), ("down", False)),
)
def test_cut_anywhere(sshd: Sshd, wire: Wire, user: User, state: Path, tmp_path: Path, direction: Direction, sudo: bool) -> None:
    """All along: while greeting, logging on, sending the script and its envelope, and while its events come.

    A cut while greeting and logging on is followed by another connection. Few bytes come down after that and before the script runs.
    """
    user.sudo("%u ALL=(root) PASSWD: ALL")
    runs = Runs(sshd, wire, user, state, tmp_path, sudo=sudo)
    total = undisturbed(runs, wire, direction)
    ended = []
    for after in range(
        1, total * 9 // 10, total // (160 if FULL else 18)
    ):  # how many bytes there are differs a little, by how they are put into packets
        wire.cut(direction, after)
        result, lines = runs.apply()
        assert wire.was_cut
        assert wait_until(runs.is_over)
        (whole if runs.times() else nothing)(runs, result, lines)
        ended.append(result.outcome)
    assert direction == "down" or "failed" in ended, "while the script was sent"
    assert "ok" in ended, f"while connecting, and while it ran: {ended}"


def test_cut_at_the_last_bytes_that_start_the_script(runs: Runs, wire: Wire) -> None:
    """The packet with the envelope's end is the script's start: with one byte less it never starts, with all it runs.

    How many bytes there are differs by some hundred, so the last cut is the one that comes too late to be made.
    """
    after = undisturbed(runs, wire, "up") - 600
    started = []
    while True:
        wire.cut("up", after)
        result, lines = runs.apply()
        assert wait_until(runs.is_over)
        (whole if runs.times() else nothing)(runs, result, lines)
        started.append(runs.times())
        if not wire.was_cut:
            break
        after += 60
    assert started[0] == 0 and started[-1] == 1 and len(started) > 3


def test_the_run_goes_on_and_is_joined_again(runs: Runs, wire: Wire) -> None:
    """It is held behind an event until the second connection listens: the rest comes over that one, while it runs."""
    hold = runs.state / "hold"
    hold.write_text("4")
    runs.at_second = lambda: threading.Timer(0.3, hold.unlink).start()
    cutter = threading.Thread(target=lambda: wait_until((runs.state / "held").exists) and wire.reset())
    cutter.start()
    result, lines = runs.apply()
    cutter.join()
    whole(runs, result, lines)
    assert runs.connections == 2


def test_stop_is_heard_whole(runs: Runs) -> None:
    (runs.state / "hold").write_text("4")
    threading.Thread(target=lambda: wait_until((runs.state / "held").exists) and runs.stop.set()).start()
    result, lines = runs.apply()
    assert result.outcome == "stopped" and lines == runs.kept() and len(lines) == 5
    assert runs.connections == 1 and runs.times() == 1


def test_nothing_is_left_on_the_host(runs: Runs, wire: Wire) -> None:
    """The bootstrap's folder goes with the run, also when nobody listens any more."""
    hold = runs.state / "hold"
    hold.write_text("4")

    def left() -> list[Path]:
        return [path for path in Path("/dev/shm").glob("tmp.*/nbserver.sh") if str(runs.state) in text_of(path)]

    runs.at_second = lambda: (found.extend(left()), hold.unlink())
    found: list[Path] = []
    cutter = threading.Thread(target=lambda: wait_until((runs.state / "held").exists) and wire.reset())
    cutter.start()
    whole(runs, *runs.apply())
    cutter.join()
    assert len(found) == 1, "it was there"
    assert wait_until(lambda: not left())
