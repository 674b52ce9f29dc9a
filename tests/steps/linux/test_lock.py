"""One run at a time on a Linux host, events that can be asked for again, and runs that are stopped or cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.linux import parts
from tests.linux.fixtures import Run, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
STATE = "/var/lib/nbserver/state"
SECONDS = 600  # far more than anything here takes on a busy machine
WAITING = """
step waiting 'it waits until it is told to go on'
waiting_test() { [[ -e /tmp/done ]] || differs waiting waiting no yes; }
waiting_apply() {
    write_event progress what begun
    run_program bash -c 'echo $$ >/tmp/child.new; mv /tmp/child.new /tmp/child; until [[ -e /tmp/go ]]; do sleep 0.05; done; echo gone on'
    : >/tmp/done
}
"""
WHOLE = WAITING.replace("run_program bash", "run_program --to-its-end bash")


class Started:
    """A run of WAITING in the background, which has begun to wait."""

    def __init__(self, sandbox: Sandbox, step: str = WAITING, name: str = "first") -> None:
        sandbox.write("/tmp/first.sh", parts.script([step]))
        self.process = sandbox.start("bash", "/tmp/first.sh", "envelope")
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"mode apply\nrun {name}\noperator YW5uYQ==\n".encode())
        self.process.stdin.close()
        self.process.stdin = None
        self.lines: list[bytes] = []
        while b'"begun"' not in (line := self.process.stdout.readline()):
            assert line, "it ended early"
            self.lines.append(line)
        self.lines.append(line)
        sandbox.run("bash", "-c", "until [[ -e /tmp/child ]]; do sleep 0.05; done")

    def end(self) -> Run:
        out, errors = self.process.communicate(timeout=SECONDS)
        return Run(subprocess.CompletedProcess([], self.process.returncode, b"".join(self.lines) + out, errors))


def go(sandbox: Sandbox) -> None:
    sandbox.run("touch", "/tmp/go")


def test_a_file_system_without_locks_is_named(sandbox: Sandbox) -> None:
    done = run(sandbox, "apply", ["flock() { echo 'flock: 9: Function not implemented' >&2; return 71; }", WAITING])
    (failed,) = done.of("failed")
    assert failed["code"] == "no-file-locks" and "exited with code 71" in failed["text"] and f"{STATE}/lock" in failed["text"]


def test_a_second_run_is_refused_and_told_who_has_the_lock(sandbox: Sandbox) -> None:
    first = Started(sandbox)
    for mode in ("apply", "undo"):
        second = run(sandbox, mode, [WAITING])
        assert second.outcome == "failed" and second.code == 3
        assert second.of("failed")[0]["text"].startswith("another run is changing this host: run first, mode apply, by 'anna', process ")
    assert run(sandbox, "test", [WAITING]).outcome == "ok", "a test needs no lock"
    go(sandbox)
    done = first.end()
    assert done.outcome == "ok" and "gone on" in [event["text"] for event in done.of("log")]
    assert sandbox.read(f"{STATE}/lock") == b""
    assert run(sandbox, "apply", [WAITING]).outcome == "ok"


def runs(pid: int) -> bool:
    """Whether the process has not exited. Nobody may have asked for its exit code yet."""
    file = Path(f"/proc/{pid}/stat")
    return file.exists() and file.read_text().rpartition(") ")[2][0] != "Z"


def test_the_program_of_a_dead_owner_is_ended(sandbox: Sandbox) -> None:
    """It would work on the same files as the next run. What it started goes with it; a service has a session of its own."""
    first = Started(
        sandbox, WAITING.replace("echo $$", "setsid sleep 600 & echo $! >/tmp/service; sleep 600 & echo $! >/tmp/grandchild; echo $$")
    )
    first.process.kill()
    first.process.wait()
    child, grandchild, service = (int(sandbox.read(f"/tmp/{name}")) for name in ("child", "grandchild", "service"))
    assert b"run first" in sandbox.read(f"{STATE}/lock") and sandbox.read(f"{STATE}/program") == f"{child} first 0\n".encode()
    done = run(sandbox, "undo", [WAITING])
    assert done.outcome == "ok" and "run first was interrupted, but" in done.of("warning")[0]["text"]
    assert [runs(pid) for pid in (child, grandchild, service)] == [False, False, True]
    os.kill(service, signal.SIGKILL)
    assert not sandbox.exists(f"{STATE}/program")


def test_a_package_manager_of_a_dead_owner_is_awaited(sandbox: Sandbox) -> None:
    first = Started(sandbox, WHOLE)
    first.process.kill()
    first.process.wait()
    assert run(sandbox, "apply", [WAITING], name="first").of("failed")[0]["code"] == "run-id-used"
    assert b" first 1\n" in sandbox.read(f"{STATE}/program"), "the run after the one that was refused must know about it, too"
    sandbox.write("/tmp/second.sh", parts.script([WAITING]))
    second = sandbox.start("bash", "/tmp/second.sh", "envelope")
    assert second.stdin and second.stdout
    second.stdin.write(b"mode undo\nrun second\noperator YW5uYQ==\n")
    second.stdin.close()
    while b"run first was interrupted, but" not in (line := second.stdout.readline()):
        assert line, "it did not wait"
    assert Path(f"/proc/{int(sandbox.read('/tmp/child'))}").exists()
    go(sandbox)
    assert b'"outcome":"ok"' in second.stdout.read() and second.wait(SECONDS) == 0


def test_another_session_with_that_number_is_left_alone(sandbox: Sandbox) -> None:
    assert run(sandbox, "apply", [WAITING.replace("run_program", ": run_program")]).outcome == "ok"
    with subprocess.Popen(["setsid", "sleep", "600"]) as other:
        sandbox.write(f"{STATE}/program", f"{other.pid} first 0\n")
        assert run(sandbox, "undo", [WAITING]).outcome == "ok"
        assert other.poll() is None
        other.kill()


def test_a_runs_name_is_used_once(sandbox: Sandbox) -> None:
    step = "step nothing 'nothing'\nnothing_test() { :; }\nnothing_apply() { :; }\n"
    assert run(sandbox, "apply", [step], name="once").outcome == "ok"
    again = run(sandbox, "apply", [step], name="once")
    assert again.outcome == "failed" and 'this host already has a run with the ID "once"' in again.of("failed")[0]["text"]
    assert len(sandbox.read(f"{STATE}/runs/once/events.jsonl").splitlines()) == 3, "the first one's events are untouched"


# ---- events again


def again(sandbox: Sandbox, name: str, after: int, *, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    sandbox.write("/tmp/again.sh", parts.script([WAITING]))
    return sandbox.run("bash", "/tmp/again.sh", "envelope", input=f"mode events\nrun {name}\nafter {after}\n".encode(), check=check)


def test_events_are_sent_again_and_go_on_while_the_run_lives(sandbox: Sandbox) -> None:
    first = Started(sandbox)
    sandbox.write("/tmp/again.sh", parts.script([WAITING]))
    reader = sandbox.start("bash", "/tmp/again.sh", "envelope")
    assert reader.stdin and reader.stdout
    reader.stdin.write(b"mode events\nrun first\nafter 1\n")
    reader.stdin.close()
    reader.stdin = None
    assert json.loads(reader.stdout.readline())["n"] == 2
    go(sandbox)
    done = first.end()
    rest = reader.stdout.read().decode().splitlines()  # not communicate(): it forgets what readline() has read ahead
    assert rest == done.lines[2:] and reader.wait(SECONDS) == 0
    assert again(sandbox, "first", 0).stdout.decode().splitlines() == done.lines
    assert again(sandbox, "first", len(done.lines)).stdout == b""


def test_a_torn_last_line_is_left_out(sandbox: Sandbox) -> None:
    go(sandbox)
    done = run(sandbox, "apply", [WAITING], name="torn")
    sandbox.write(f"{STATE}/runs/torn/events.jsonl", "\n".join(done.lines)[:-10])
    assert again(sandbox, "torn", 1).stdout.decode().splitlines() == done.lines[1:-1]


def test_a_run_that_nobody_knows(sandbox: Sandbox) -> None:
    done = again(sandbox, "unheard", 0, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        3,
        b"",
        b'this host has no run with the ID "unheard". Check the run ID, the name of the run directory\n',
    )
    assert not sandbox.exists("/var/lib/nbserver"), "asking changes nothing"


def test_it_goes_on_when_nobody_listens(sandbox: Sandbox) -> None:
    first = Started(sandbox)
    assert first.process.stdout and first.process.stderr
    first.process.stdout.close()
    first.process.stderr.close()
    go(sandbox)
    assert first.process.wait(SECONDS) == 0
    events = [json.loads(line) for line in sandbox.read(f"{STATE}/runs/first/events.jsonl").splitlines()]
    assert events[-1]["outcome"] == "ok" and [event["n"] for event in events] == list(range(1, len(events) + 1))


# ---- stopped


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_ends_the_program_and_the_run(sandbox: Sandbox, name: signal.Signals) -> None:
    first = Started(sandbox)
    child = int(sandbox.read("/tmp/child"))
    first.process.send_signal(name)
    done = first.end()
    assert (done.outcome, done.code) == ("stopped", 3)
    assert not Path(f"/proc/{child}").exists()
    assert sandbox.read(f"{STATE}/lock") == b""
    assert not sandbox.exists("/tmp/done")


def test_what_must_not_be_cut_off_is_awaited(sandbox: Sandbox) -> None:
    first = Started(sandbox, WHOLE)
    first.process.send_signal(signal.SIGTERM)
    assert run(sandbox, "undo", [WAITING]).outcome == "failed", "it still has the lock"
    go(sandbox)
    done = first.end()
    assert done.outcome == "stopped" and "gone on" in [event["text"] for event in done.of("log")]
    assert not sandbox.exists("/tmp/done"), "nothing is done after it"
