"""Files on the host that are torn, held by another program, or left by a run that died."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nbserver.transports.psrp.transport import PsrpTransport
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_host import GROUND, PASSWORD, STATE, SmallHost, wait_until

HOLD = r"""
$stream = [IO.File]::Open('@PATH@', 'OpenOrCreate', '@ACCESS@', '@SHARE@')
[IO.File]::WriteAllText('C:\faults\held', '')
while ([IO.File]::Exists('C:\faults\held')) { [Threading.Thread]::Sleep(20) }
$stream.Close()
"""


@pytest.fixture
def before(small_host: SmallHost) -> dict[str, Any]:
    return small_host.prepare()


@contextmanager
def held(host: SmallHost, path: str, access: str, share: str) -> Iterator[Callable[[], None]]:
    """Another program has the file open; the function that comes lets it go."""
    flag = host.ground / "held"
    script = HOLD.replace("@PATH@", path).replace("@ACCESS@", access).replace("@SHARE@", share)

    def hold() -> None:
        transport = PsrpTransport(host.struck.host, PASSWORD, threading.Event())
        list(transport.run(script, ["-"]))
        transport.close()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    wait_until(flag.exists)

    def let_go() -> None:
        flag.unlink(missing_ok=True)

    try:
        yield let_go
    finally:
        let_go()
        thread.join(30)


def test_event_file_torn_in_its_last_line(small_host: SmallHost, before: dict[str, Any]) -> None:
    """Mode events tells the whole lines and no more, wherever the last one was cut; later runs are not disturbed."""
    run = small_host.run("apply").id
    file = small_host.host_events(run)
    data = file.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    whole = data.decode("ascii").splitlines()
    for end in [start, start + 1, start + 2, *range(start + 10, len(data) - 2, 25), len(data) - 2, len(data) - 1]:
        file.write_bytes(data[:end])
        assert small_host.events_of(run) == whole[:-1], f"cut at byte {end - start} of {len(data) - start}"
    assert small_host.events_of(run, after=3) == whole[3:-1]
    again = small_host.run("apply")
    assert (again.result.outcome, again.result.changed) == ("ok", 0)
    assert small_host.run("undo").result.outcome == "ok" and small_host.state() == before
    file.write_bytes(data)
    assert small_host.events_of(run) == whole


@pytest.mark.parametrize("size", [0, 1, 40])
def test_event_file_torn_in_its_first_line(small_host: SmallHost, before: dict[str, Any], size: int) -> None:
    run = small_host.run("apply").id
    file = small_host.host_events(run)
    file.write_bytes(file.read_bytes()[:size])
    assert small_host.events_of(run) == []


def test_lock_that_is_looked_at(small_host: SmallHost, before: dict[str, Any]) -> None:
    """Whoever asks for the lock's owner opens the file for a moment (Get-LockOwner): a run that starts then must not fail."""
    assert small_host.run("apply").result.outcome == "ok"
    with held(small_host, rf"{STATE}\lock", "ReadWrite", "Read") as let_go:
        threading.Timer(0.2, let_go).start()
        ran = small_host.run("apply")
    assert ran.result.outcome == "ok", ran.result.error


def test_file_held_by_another_program(small_host: SmallHost, before: dict[str, Any]) -> None:
    """It cannot be replaced: the run fails and says so, and undo leaves nothing of the attempt."""
    with held(small_host, rf"{GROUND}\site\old.txt", "Read", "Read"):
        ran = small_host.run("apply")
    assert ran.result.outcome == "failed" and "text: " in ran.result.error
    assert small_host.guard() == "DWord:1" and not small_host.guard_task()
    assert small_host.run("undo").result.outcome == "ok"
    assert small_host.state() == before


def test_record_held_while_a_file_is_put_back(small_host: SmallHost, before: dict[str, Any]) -> None:
    """Everything is put back but cannot be taken off the record: the next undo finds it so and ends well."""
    assert small_host.run("apply").result.outcome == "ok"
    with held(small_host, rf"{STATE}\record.jsonl", "Read", "Read"):
        ran = small_host.run("undo")
    assert ran.result.outcome == "failed"
    again = small_host.run("undo")
    assert again.result.outcome == "ok", again.result.error
    assert small_host.state() == before
