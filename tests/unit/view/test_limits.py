"""The limits of a server as `status` shows them."""

from __future__ import annotations

from nbserver.view.limits import said


def limits(memory: tuple[str, str], tasks: tuple[str, str], cpu: tuple[str, str]) -> dict[str, dict[str, str]]:
    names = ("memory_max", "tasks_max", "cpu_quota")
    return {name: {"asked": asked, "now": now} for name, (asked, now) in zip(names, (memory, tasks, cpu), strict=True)}


def test_what_is_asked_and_what_is_enforced() -> None:
    assert said(None) == ""
    assert said(limits(("90%", "7650410496"), ("15%", "4915"), ("infinity", "infinity"))) == (
        "memory 90% (now 7.1 GiB), processes 15% (now 4915), CPU infinity"
    )
    assert said(limits(("8G", "8589934592"), ("512", "512"), ("200%", "2s"))) == "memory 8G, processes 512, CPU 200%"


def test_limits_that_are_not_enforced_are_seen() -> None:
    assert said(limits(("8G", "infinity"), ("512", ""), ("50%", "500ms"))) == (
        "memory 8G (now infinity), processes 512 (now none), CPU 50%"
    )
    assert "CPU 10000% (now 8000%)" in said(limits(("8G", "1"), ("512", ""), ("10000%", "1min 20s")))
    assert "(now ...)" in said(limits(("8G", "1"), ("512", ""), ("50%", "...")))
