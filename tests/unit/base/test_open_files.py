"""More hosts at a time need more open files than a system allows at first."""

from __future__ import annotations

import sys

import pytest

from nbserver.base import open_files

resource = pytest.importorskip("resource", reason="Windows has no such limit")
UNLIMITED = -1 if sys.platform == "win32" else resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "hosts", "set_to"),
    [
        (1024, 524288, 50, 50, None),  # Linux
        (1024, 524288, 200, 200, 3328),
        (256, UNLIMITED, 50, 50, 928),  # macOS
        (256, 256, 50, 8, 256),
        (256, 256, 5, 5, None),
        (64, 64, 5, 1, 64),
        (UNLIMITED, UNLIMITED, 5000, 5000, None),
    ],
)
def test_the_limit_is_raised_or_fewer_hosts_run(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, hosts: int, set_to: int | None
) -> None:
    given = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: given.append(limits))
    assert open_files.at_a_time(wanted, each=16, others=128) == hosts
    assert given == ([] if set_to is None else [(set_to, hard)])


def test_a_limit_that_cannot_be_raised_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, UNLIMITED))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_files.at_a_time(50, each=16, others=128) == 8
