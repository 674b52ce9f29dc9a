"""Time and bytes that a server may take, by a clock that a test sets."""

from __future__ import annotations

import pytest

from nbserver.base.allowance import Allowance, TooMuch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_has_its_time_within_the_time_for_everything() -> None:
    clock = Clock()
    allowance = Allowance(100, clock=clock)
    allowance.exchange(30)
    assert allowance.left() == 30
    clock.now += 29
    assert (allowance.left(), allowance.over()) == (1, 0)
    clock.now += 1
    assert allowance.over() == 30
    with pytest.raises(TimeoutError):
        allowance.left()
    clock.now += 60
    allowance.exchange(30)
    assert allowance.left() == 10
    clock.now += 10
    assert allowance.over() == 100
    allowance.exchange(30)
    with pytest.raises(TimeoutError):
        allowance.left()


def test_what_is_left_behind_can_be_cleaned_up_when_the_time_is_over() -> None:
    clock = Clock()
    allowance = Allowance(100, clock=clock)
    clock.now += 1000
    allowance.within(20)
    allowance.exchange(30)
    assert allowance.left() == 20


def test_bytes_begin_anew_with_each_answer() -> None:
    allowance = Allowance(100)
    for _ in range(2):
        allowance.exchange(30, 2 * 1024 * 1024)
        allowance.take(1024 * 1024)
        allowance.take(1024 * 1024)
        with pytest.raises(TooMuch, match="sent more than 2 MB in one response"):
            allowance.take(1)
