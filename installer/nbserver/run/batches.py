"""Which host of a run may begin when: canaries, batches, and how many may fail. Nothing in `Course` depends on time or threads."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nbserver.base.errors import UsageError
from nbserver.base.message import Message, notice

SSH_FORKS = 50  # an SSH host costs the workstation a few milliseconds, so its network is the limit
WINRM_FORKS_PER_CPU = 10  # PSRP and WinRM encrypt and parse XML in Python


@dataclass(frozen=True)
class Amount:
    """A number of hosts, or a percentage of them."""

    value: int
    is_percentage: bool = False

    @classmethod
    def parse(cls, text: str, lowest: int) -> Amount | None:
        """Return the amount that a text such as 5 or 25% says, or None if it says none from `lowest`, or more than 100%."""
        found = re.fullmatch(r"([0-9]{1,6})(%?)", text, re.ASCII)
        if found is None or not lowest <= int(found[1]) <= (100 if found[2] else 999_999):
            return None
        return cls(int(found[1]), bool(found[2]))

    def of(self, total: int) -> int:
        """Return how many of `total` hosts that is, rounded down."""
        return total * self.value // 100 if self.is_percentage else self.value

    def __str__(self) -> str:
        return f"{self.value}%" if self.is_percentage else str(self.value)


@dataclass(frozen=True)
class Policy:
    """In which order hosts run. `canary` is a number of hosts, or names and patterns; `serial` the size of a batch.

    Once more than `max_failures` hosts have failed, no further host begins. A command of several runs has `chosen` its canaries by
    their names: some of them may have nothing to do in a later run.
    """

    canary: tuple[str, ...] = ()
    serial: Amount | None = None
    max_failures: Amount | None = None
    chosen: tuple[str, ...] | None = None


def default_forks(over_ssh: Iterable[bool]) -> int:
    """Return how many hosts run at a time by default. `over_ssh` says for each host whether it is reached over SSH."""
    return SSH_FORKS if all(over_ssh) else min(SSH_FORKS, WINRM_FORKS_PER_CPU * (os.cpu_count() or 1))


def stages(names: Sequence[str], policy: Policy, select: Callable[[Sequence[str]], Sequence[str]]) -> list[list[str]]:
    """Return the hosts in batches: first the canaries, which may be none, then all others.

    `select` returns the hosts that match patterns. Raises UsageError for a canary that is not a host of this run.
    """
    canaries = _canaries(names, policy, select)
    others = [name for name in names if name not in set(canaries)]
    size = max(1, policy.serial.of(len(names))) if policy.serial else max(1, len(others))
    return [canaries, *(others[start : start + size] for start in range(0, len(others), size))]


def settled(names: Sequence[str], policy: Policy, select: Callable[[Sequence[str]], Sequence[str]]) -> Policy:
    """Return the policy for a command of several runs, of which the later ones may have fewer hosts. Otherwise as `stages`."""
    return replace(policy, chosen=tuple(_canaries(names, policy, select)))


def _canaries(names: Sequence[str], policy: Policy, select: Callable[[Sequence[str]], Sequence[str]]) -> list[str]:
    if policy.chosen is not None:
        return [name for name in names if name in policy.chosen]
    given = policy.canary
    if len(given) == 1 and given[0].isdecimal():
        if given[0] in names:
            raise UsageError(
                "canary-ambiguous",
                "--canary {number} is a number of hosts, but one of the hosts has this name",
                todo="To choose this host, repeat the option: --canary {number} --canary {number}",
                number=given[0],
            )
        return list(names[: int(given[0])])
    found = set(select(given)) if given else set()
    if others := sorted(found - set(names)):
        raise UsageError(
            "canary-not-selected",
            "the canary {name} is not among the hosts selected for this run",
            todo="Choose canaries from the selected hosts, or add {name} to the selection",
            name=others[0],
        )
    return [name for name in names if name in found]


class Course:
    """Decides which hosts may begin. A batch begins when all hosts of the batch before it have ended; the first one are the canaries."""

    def __init__(self, batches: Sequence[Sequence[str]], most_failures: int | None = None) -> None:
        self._batch_of = {name: number for number, names in enumerate(batches) for name in names}
        self._left = [len(names) for names in batches]
        self._most = most_failures
        self._open = self._failed = 0
        self._closed: Message | None = None
        self._open_next()

    def decide(self, name: str) -> Literal["begin", "wait"] | Message:
        """Return whether a host begins or waits, or why it does not begin in this run."""
        if self._closed is not None:
            return self._closed
        return "begin" if self._batch_of[name] <= self._open else "wait"

    def ended(self, name: str, *, succeeded: bool) -> None:
        """Take note of a host that had begun."""
        batch = self._batch_of[name]
        self._left[batch] -= 1
        self._failed += not succeeded
        if self._closed is None and not succeeded:
            self._closed = self._reason(name, batch)
        self._open_next()

    def _open_next(self) -> None:
        while self._open < len(self._left) - 1 and self._left[self._open] == 0:
            self._open += 1

    def _reason(self, name: str, batch: int) -> Message | None:
        if batch == 0:
            return notice(
                "not-begun-after-canary",
                "not started, because the canary {name} did not succeed. Fix that host, then run the command again",
                name=name,
            )
        if self._most is not None and self._failed > self._most:
            return notice(
                "not-begun-after-failures",
                "not started, because more hosts failed than --max-failures allows ({limit}). Fix the failed hosts, then run the command again",
                limit=self._most,
            )
        return None


class Gate:
    """What each host's thread passes before its host begins, and when it has ended."""

    def __init__(self, course: Course, stop: threading.Event) -> None:
        self._course, self._stop, self._changed = course, stop, threading.Condition()

    def enter(self, name: str) -> Message | None:
        """Wait until the host may begin, or `stop` is set. Return why it does not begin, or None."""
        with self._changed:
            while (decision := self._course.decide(name)) == "wait" and not self._stop.is_set():
                self._changed.wait(0.2)  # nobody reports that `stop` is set
        return decision if isinstance(decision, Message) else None

    def leave(self, name: str, *, succeeded: bool) -> None:
        """Take note of a host that has ended."""
        with self._changed:
            self._course.ended(name, succeeded=succeeded)
            self._changed.notify_all()
