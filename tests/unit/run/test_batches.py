"""Which hosts begin when: for any size, any batches, and any order in which hosts end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import UsageError
from nbserver.base.message import Message
from nbserver.run import batches
from nbserver.run.batches import Amount, Course, Gate, Policy

NAMES = [f"host{number}" for number in range(10)]


def none(patterns: Sequence[str]) -> list[str]:
    raise AssertionError("a number needs no selection")


@pytest.mark.parametrize(
    ("text", "lowest", "of_ten"),
    [("3", 1, 3), ("25%", 1, 2), ("100%", 1, 10), ("0", 0, 0), ("0%", 0, 0), ("0", 1, None), ("0%", 1, None), ("101%", 0, None)],
)
def test_an_amount(text: str, lowest: int, of_ten: int | None) -> None:
    found = Amount.parse(text, lowest)
    assert (found.of(10) if found else None) == of_ten
    assert found is None or str(found) == text


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", " 5", "5 %", "many", "\u0663", "9999999"])
def test_what_is_no_amount(text: str) -> None:
    assert Amount.parse(text, 0) is None


@pytest.mark.parametrize(
    ("policy", "sizes"),
    [
        (Policy(), [10]),
        (Policy(serial=Amount(4)), [4, 4, 2]),
        (Policy(serial=Amount(30, True)), [3, 3, 3, 1]),
        (Policy(serial=Amount(1, True)), [1] * 10),
        (Policy(serial=Amount(99)), [10]),
        (Policy(("2",)), [2, 8]),
        (Policy(("2",), Amount(50, True)), [2, 5, 3]),
        (Policy(("99",)), [10]),
        (Policy(("0",)), [10]),
    ],
)
def test_batches(policy: Policy, sizes: list[int]) -> None:
    found = batches.stages(NAMES, policy, none)
    assert [len(names) for names in found if names] == sizes and [name for names in found for name in names] == NAMES


def test_canaries_by_name_come_first() -> None:
    found = batches.stages(NAMES, Policy(("host7", "b*")), lambda patterns: ["host7", "host3"] if patterns == ("host7", "b*") else [])
    assert found == [["host3", "host7"], [name for name in NAMES if name not in ("host3", "host7")]]


def test_a_canary_that_does_not_run() -> None:
    with pytest.raises(UsageError, match="the canary other is not among the hosts selected for this run"):
        batches.stages(NAMES, Policy(("other",)), lambda patterns: ["host1", "other"])


def test_a_number_that_is_also_the_name_of_a_host_is_refused() -> None:
    """As a number of hosts, it could be all of them."""
    names = ["100", "101", "102"]
    with pytest.raises(UsageError, match="--canary 101 is a number of hosts, but one of the hosts has this name"):
        batches.stages(names, Policy(("101",)), lambda patterns: ["101"])
    assert batches.stages(names, Policy(("101", "101")), lambda patterns: ["101"]) == [["101"], ["100", "102"]]


def test_canaries_of_several_runs_are_chosen_once() -> None:
    policy = batches.settled(NAMES, Policy(("2",), Amount(50, True)), none)
    assert batches.stages(NAMES, policy, none)[0] == NAMES[:2]
    assert batches.stages(NAMES[1:], policy, none)[0] == NAMES[1:2]
    assert batches.stages(NAMES[2:], policy, none)[0] == []


def test_no_hosts_and_only_canaries() -> None:
    assert batches.stages([], Policy(("2",), Amount(3)), none) == [[]]
    assert batches.stages(NAMES[:2], Policy(("2",)), none) == [NAMES[:2]]


@pytest.mark.parametrize(("over_ssh", "processors", "forks"), [([True] * 3, 2, 50), ([True, False], 2, 20), ([False], 64, 50), ([], 1, 50)])
def test_the_default_of_forks(monkeypatch: pytest.MonkeyPatch, over_ssh: list[bool], processors: int, forks: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    assert batches.default_forks(over_ssh) == forks


runs = st.fixed_dictionaries(
    {
        "total": st.integers(1, 30),
        "canaries": st.none() | st.integers(0, 5),
        "serial": st.none() | st.integers(1, 12),
        "most": st.none() | st.integers(0, 8),
        "bad": st.sets(st.integers(0, 29), max_size=12),
        "forks": st.integers(1, 40),
    }
)


@given(runs, st.randoms(use_true_random=False))
def test_every_host_ends_or_is_refused(run: dict[str, object], random: object) -> None:
    """As a run does it, with hosts that end in any order."""
    total, forks, bad, most = run["total"], run["forks"], run["bad"], run["most"]
    names = [f"{number:02}" for number in range(total)]
    canary = (str(run["canaries"]),) if run["canaries"] is not None else ()
    stages = batches.stages(names, Policy(canary, Amount(run["serial"]) if run["serial"] else None), none)
    assert sorted(name for stage in stages for name in stage) == sorted(names)
    course = Course(stages, most)
    waiting = [name for stage in stages for name in stage]
    running, begun, refused, failed = [], [], {}, 0
    batch = {name: number for number, stage in enumerate(stages) for name in stage}
    while waiting or running:
        for name in list(waiting)[: forks - len(running)]:
            decision = course.decide(name)
            if decision == "begin":
                assert all(batch[other] >= batch[name] for other in running), "no batch overlaps the one before it"
                assert most is None or failed <= most
                running.append(name)
                begun.append(name)
            elif isinstance(decision, Message):
                refused[name] = decision
            if decision != "wait":
                waiting.remove(name)
        if running:
            name = running.pop(random.randrange(len(running)))
            failed += int(name) in bad
            course.ended(name, succeeded=int(name) not in bad)
        elif waiting:
            assert isinstance(course.decide(waiting[0]), Message), "a host waits although none runs"
    assert sorted(begun + list(refused)) == sorted(names)
    failing_canary = any(int(name) in bad for name in stages[0] if name in begun)
    expected = {"not-begun-after-canary"} if failing_canary else set()
    assert {reason.code for reason in refused.values()} <= expected | ({"not-begun-after-failures"} if most is not None else set())
    if not failing_canary and (most is None or failed <= most):
        assert not refused


def test_threads_pass_the_gate_in_batches() -> None:
    course, stop = Course([["a"], ["b", "c", "d"], ["e"]], 1), threading.Event()
    gate, order = Gate(course, stop), []

    def host(name: str) -> str:
        refusal = gate.enter(name)
        if refusal is None:
            order.append(name)
            gate.leave(name, succeeded=name not in "cd")
        return refusal.code if refusal else ""

    with ThreadPoolExecutor(5) as pool:
        found = dict(zip("edcba", pool.map(host, "edcba"), strict=True))
    assert order[0] == "a" and "e" not in order and found["e"] == "not-begun-after-failures"


def test_who_waits_at_the_gate_is_released_by_a_stop_request() -> None:
    stop = threading.Event()
    gate = Gate(Course([["a"], ["b"]]), stop)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.enter, "b")
        stop.set()
        assert waiting.result(20) is None
