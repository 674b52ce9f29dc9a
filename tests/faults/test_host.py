"""The engine is killed, or the host goes down, at every gate of a run: the next run converges, undo restores.

At some gates an engine is really killed, or the host rebooted. For all of them a crash image is looked at: what stands on
disk and in the registry while a run is held there, which is what a kill leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.crash_image import CrashImage, take_all
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_host import CLOSING_TASK, SmallHost
from tests.faults.small_script import STEPS
from tests.tier import points

APPLY_GATES, UNDO_GATES = 36, 12
# Gates before each step's Test, before the bracket is closed, and in the middle of Applies and of the closing.
BETWEEN_STEPS, IN_THE_MIDDLE = (4, 11, 19, 24, 33), (8, 10, 15, 29, 34, 35)


class Images:
    """The host before any run, and at each gate of an apply and of the undo after it."""

    def __init__(self, host: SmallHost) -> None:
        self.before = host.prepare()
        self.apply = take_all(host, "apply", APPLY_GATES)
        assert host.gates()[-1][0] == APPLY_GATES
        self.applied = host.state()
        (host.ground / "gates").unlink()
        self.undo = take_all(host, "undo", UNDO_GATES)
        assert host.gates()[-1][0] == UNDO_GATES
        assert host.state() == self.before


@pytest.fixture(scope="module")
def images(small_host: SmallHost) -> Iterator[Images]:
    yield Images(small_host)
    small_host.prepare()


def converges(host: SmallHost, images: Images) -> None:
    """The next run does what is left, the one after it nothing; then undo restores."""
    first = host.run("apply")
    assert first.result.outcome == "ok", first.result.error
    assert host.guard() == "DWord:1" and not host.guard_task()
    after = host.state()
    assert {part: after[part] for part in ("registry", "tasks")} == {part: images.applied[part] for part in ("registry", "tasks")}
    second = host.run("apply")
    assert (second.result.outcome, second.result.changed, host.applied(second.id)) == ("ok", 0, [])
    assert [event for _, _, event in second.told] == ["started", *["unchanged"] * (len(STEPS) - 1), "finished"]
    restores(host, images)


def restores(host: SmallHost, images: Images) -> None:
    ran = host.run("undo")
    assert ran.result.outcome == "ok", ran.result.error
    assert host.state() == images.before


def cut_off(host: SmallHost, gate: int, reboot: bool) -> str:
    """An apply that is held at a gate when its engine is killed, or its host rebooted. Returns the run's name."""
    host.prepare()
    host.order("hold", f"gate {gate}")
    ways = iter([host.struck])
    with host.running("apply", lambda: next(ways, host.steady)) as done:
        host.wait_for_gate(gate)
        if reboot:
            host.windows.scheduler.shut_down()
            host.struck_endpoint.reboot(0.2, wait=True)
        else:
            host.struck_endpoint.kill_engines()
    host.struck.forget()
    assert done[0].result.outcome == "failed" and done[0].result.error
    if host.guard() == "DWord:0":
        assert "The temporary change made by the step guard may still be in effect" in done[0].result.error
    assert done[0].lines == host.host_events(done[0].id).read_text("utf-8").splitlines(), "it was asked what it did until then"
    return done[0].id


@pytest.mark.parametrize("gate", points(BETWEEN_STEPS, 24))
def test_reboot_between_two_steps(small_host: SmallHost, images: Images, gate: int) -> None:
    cut_off(small_host, gate, reboot=True)
    task = small_host.guard_task()
    assert (small_host.guard(), task) == (("DWord:0", True) if gate > 10 else ("DWord:1", False))
    small_host.windows.scheduler.boot()
    if task:
        assert small_host.windows.scheduler.wait(CLOSING_TASK)
    assert small_host.guard() == "DWord:1" and not small_host.guard_task()
    converges(small_host, images)


@pytest.mark.parametrize("gate", points(IN_THE_MIDDLE, 15, 34))
def test_engine_killed_in_the_middle(small_host: SmallHost, images: Images, gate: int) -> None:
    """Without a reboot: the lock that the dead run left does not stop the next one, which closes the bracket."""
    run = cut_off(small_host, gate, reboot=False)
    assert small_host.lock().startswith(f"run {run}, mode apply"), "the dead run's name still stands in the lock"
    is_open = small_host.guard() == "DWord:0"
    plan = small_host.run("test")
    assert plan.result.outcome == "differs" or not is_open
    reported = [event["values"] for event in plan.events if event.get("code") == "bracket-open"]
    assert reported == [{"run": run, "step": "guard"}] * is_open
    converges(small_host, images)


@pytest.mark.parametrize("gate", points(range(2, APPLY_GATES + 1, 2), 4, 8, 12, 20, 28, 34, 36))
def test_apply_after_a_crash(small_host: SmallHost, images: Images, gate: int) -> None:
    put_back(small_host, images.apply[gate - 1])
    converges(small_host, images)


@pytest.mark.parametrize("gate", points(range(1, APPLY_GATES + 1), 3, 7, 9, 11, 15, 18, 22, 27, 30, 33, 35))
def test_undo_after_a_crash(small_host: SmallHost, images: Images, gate: int) -> None:
    put_back(small_host, images.apply[gate - 1])
    restores(small_host, images)


@pytest.mark.parametrize("gate", points(range(1, UNDO_GATES + 1), 1, 4, 7, 10, 12))
def test_undo_after_an_undo_that_crashed(small_host: SmallHost, images: Images, gate: int) -> None:
    put_back(small_host, images.undo[gate - 1])
    restores(small_host, images)


def put_back(host: SmallHost, image: CrashImage) -> None:
    host.release()
    image.put_back(host)


@pytest.mark.parametrize("gate", points(range(4, APPLY_GATES + 1, 3), 4, 10, 19, 28, 34))
def test_a_step_that_throws(small_host: SmallHost, images: Images, gate: int) -> None:
    """Also between what is saved and what is changed. The bracket is closed by the run itself, or told not to be."""
    small_host.prepare()
    small_host.order("fail", str(gate))
    ran = small_host.run("apply")
    small_host.release()
    assert ran.result.outcome == "failed" and f"cut off at gate {gate}" in ran.result.error
    if gate < 34:
        assert small_host.guard() == "DWord:1" and not small_host.guard_task()
    restores(small_host, images)


@pytest.mark.parametrize("gate", points(range(2, UNDO_GATES + 1, 2), 2, 8, 12))
def test_a_restore_that_throws(small_host: SmallHost, images: Images, gate: int) -> None:
    """What could not be put back is told, the rest is put back, and the next undo puts back what is left."""
    put_back(small_host, images.undo[0])
    small_host.order("fail", str(gate))
    ran = small_host.run("undo")
    small_host.release()
    assert ran.result.outcome == "failed" and "could not restore " in ran.result.error
    assert f": cut off at gate {gate}. Fix this error" in ran.result.error
    assert len(small_host.record()) == 1
    restores(small_host, images)
