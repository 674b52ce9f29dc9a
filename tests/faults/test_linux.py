"""Small steps over the real ssh transport, cut off at every event: nothing is lost, nothing runs twice, and undo restores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from nbserver.base.modes import Mode
from nbserver.run import host_run
from nbserver.run.journal import new_run_id
from tests.boxes.ssh.fixtures import host_of, sshd, user, wait_until, wire  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.wire import Wire
from tests.checkout import PYTHON_PATH
from tests.linux.small_host import Ran, SmallHost
from tests.linux.small_script import STEPS
from tests.tier import points

APPLY = ["started", "started", "difference", "changed", "started", "difference", "difference", "log", "log", "changed", "finished"]
UNDO = ["started", "restored", "progress", "restored", "restored", "restored", "finished"]
LONG = 9  # this event is longer than a packet
NUMBERS: dict[Mode, range] = {"apply": range(len(APPLY)), "undo": range(len(UNDO))}
Cut = Literal["before", "in", "after"]


@pytest.fixture(scope="module")
def host(sshd: Sshd, user: User, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> SmallHost:
    steady = host_of(sshd, user).model_copy(update={"user": "root"})
    return SmallHost(steady, wire, tmp_path_factory.mktemp("faults") / "host", tmp_path_factory.mktemp("runs"))


@pytest.fixture
def before(host: SmallHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.05, 0.2, 0.5))
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.05, 0.2))
    yield host.prepare()
    host.release()


def whole(host: SmallHost, ran: Ran, mode: Mode = "apply") -> None:
    """The run ended well, was heard once and whole, and ran once."""
    assert (ran.result.outcome, ran.result.error) == ("ok", "")
    words = APPLY if mode == "apply" else UNDO
    assert [(n, event) for n, _, event in ran.told] == list(enumerate(words, 1))
    assert ran.lines == host.kept(ran.id)
    assert host.applied(ran.id) == (list(STEPS) if mode == "apply" else [])
    assert wait_until(lambda: not host.lock())


def undone(host: SmallHost, before: dict[str, Any]) -> None:
    assert host.by_hand("undo").result.outcome == "ok"
    assert host.state() == before


def cut(host: SmallHost, mode: Mode, heard: int, kind: Cut) -> Ran:
    """A run whose connection is cut when `heard` events were heard, before, in or after the next one. It is joined again, and
    after a cut between two events it is held until then."""
    host.hold(heard + (kind == "after"))
    with host.running(mode) as done:
        host.wait_until_held(heard + (kind == "after"))
        assert wait_until(lambda: host.heard == heard + (kind == "after"))
        if kind == "after":
            host.at_second = lambda: threading.Timer(0.2, host.release).start()
            host.wire.reset()
            if heard == NUMBERS[mode][-1]:
                host.release()
        else:
            host.wire.cut_what_comes("down", 0 if kind == "before" else 36_000 if (mode, heard) == ("apply", LONG - 1) else 50)
            host.release()
    assert kind == "after" or host.wire.was_cut
    whole_before = (kind, heard) == ("after", NUMBERS[mode][-1])  # after the last event there is nothing more to hear
    assert host.connections == (1 if whole_before else 2)
    return done[0]


@pytest.mark.parametrize("kind", ["before", "in", "after"])
@pytest.mark.parametrize("heard", points(NUMBERS["apply"], 0, 3, LONG - 1, LONG, 10), ids=lambda heard: f"{heard + 1}-{APPLY[heard]}")
def test_apply_cut_at_every_event(host: SmallHost, before: dict[str, Any], heard: int, kind: Cut) -> None:
    whole(host, cut(host, "apply", heard, kind))
    if kind == "in":
        undone(host, before)


@pytest.mark.parametrize("heard", points(NUMBERS["undo"], 0, 3, 6), ids=lambda heard: f"{heard + 1}-{UNDO[heard]}")
def test_undo_cut_in_every_event(host: SmallHost, before: dict[str, Any], heard: int) -> None:
    whole(host, host.by_hand("apply"))
    whole(host, cut(host, "undo", heard, "in"), "undo")
    assert host.state() == before


# -- the orchestrator, and the script itself, are killed


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[subprocess.Popen[str]]:
    """See tests/linux/orchestrator.py."""
    command, environment = [sys.executable, "-m", "tests.linux.orchestrator"], {**os.environ, "PYTHONPATH": PYTHON_PATH}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        assert process.stdin
        process.stdin.close()


def converged(host: SmallHost, before: dict[str, Any], steps: list[str]) -> None:
    """A further run applies these steps and no others, the next one none, and undo restores."""
    for run, left in ((host.run, steps), (host.by_hand, [])):
        ran = run("apply")
        assert (ran.result.outcome, ran.result.error, ran.result.changed) == ("ok", "", len(left))
        assert host.applied(ran.id) == left
    undone(host, before)


@pytest.mark.parametrize("event", points(range(1, len(APPLY) + 1), 1, 4, 8, 10, 11))
def test_orchestrator_killed_at_every_event(
    host: SmallHost, orchestrator: subprocess.Popen[str], before: dict[str, Any], event: int
) -> None:
    host.hold(event)
    settings = {"port": host.steady.port, "key_file": str(host.steady.key_file), "host_key": host.steady.host_key}
    run = new_run_id()
    job = {
        "settings": settings,
        "place": str(host.place),
        "runs": str(host.runs),
        "run": run,
        "operator": "first@workstation",
        "kill_at": event,
    }
    assert orchestrator.stdin and orchestrator.stdout
    print(json.dumps(job), file=orchestrator.stdin, flush=True)
    assert int(orchestrator.stdout.readline()) == signal.SIGKILL, "it killed itself"
    assert [json.loads(line)["n"] for line in host.journal(run)] == list(range(1, event + 1)), "its journal has what it heard"

    if event in (1, LONG, len(APPLY)):
        second = host.run("apply")
        assert second.result.outcome == "failed" and not host.applied(second.id)
        assert f"another run is changing this host: run {run}, mode apply, by 'first@workstation'" in second.result.error
    host.release()
    assert wait_until(lambda: '"event":"finished"' in "".join(host.kept(run)) and not host.lock())
    assert host.kept(run)[:event] == host.journal(run) and host.applied(run) == list(STEPS)
    converged(host, before, [])


@pytest.mark.parametrize("event", points(range(1, len(APPLY) + 1), 1, 4, 8, 10, 11))
def test_script_killed_at_every_event(host: SmallHost, before: dict[str, Any], event: int) -> None:
    """As when the power fails: nobody cleans up. That is never told as a good end, and the next run does what is left."""
    host.hold(event)
    with host.running("apply") as done:
        host.wait_until_held(event)
        assert wait_until(lambda: host.heard == event)
        os.kill(int(host.lock().split("process ")[1].split(",")[0]), signal.SIGKILL)
        host.release()
    assert done[0].result.outcome == "failed" and [n for n, _, _ in done[0].told] == list(range(1, event + 1))
    whole_steps = APPLY[:event].count("changed")
    ran = host.applied(done[0].id)
    assert ran == list(STEPS[: len(ran)]) and len(ran) in (whole_steps, whole_steps + 1)
    differing = [step for step, differs in zip(STEPS, differing_after(host), strict=True) if differs]
    converged(host, before, differing)


def differing_after(host: SmallHost) -> list[bool]:
    """Whether each step has something to do, by what is there."""
    text = all((host.site / name).is_file() and (host.site / name).read_text() == "ours" for name in ("new.txt", "old.txt"))
    folder, theirs = host.site / "folder", (host.site / "theirs").stat()
    return [not text, not folder.is_dir() or (theirs.st_mode & 0o7777, theirs.st_uid) != (0o711, 1)]
