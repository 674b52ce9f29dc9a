"""What the notebook server may use of its host: what the inventory asks for, and what systemd enforces now."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nbserver.language.language import ENGLISH, Language

UNLIMITED = "infinity"
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}  # systemd.time(7)


def said(limits: Mapping[str, Mapping[str, str]] | None, language: Language = ENGLISH) -> str:
    """Return the limits in one line, such as `memory 90% (now 7.1 GiB), processes 15% (now 4915), CPU infinity`.

    Return an empty string for a server without limits.
    """
    if limits is None:
        return ""
    parts: list[tuple[str, str, Callable[[str], str]]] = [
        (language.text("memory"), "memory_max", _memory),
        (language.text("processes"), "tasks_max", str),
        ("CPU", "cpu_quota", _share),
    ]
    return language.joined(_one(name, limits[key]["asked"], convert(limits[key]["now"]), language) for name, key, convert in parts)


def _one(name: str, asked: str, now: str, language: Language) -> str:
    if now == asked:
        return f"{name} {asked}"
    return language.text("{name} {asked} (now {now})", name=name, asked=asked, now=now or language.text("none"))


def _memory(now: str) -> str:
    """Return bytes as systemd writes them in the unit that a person reads."""
    if not now.isdecimal():
        return now
    size = int(now)
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20)):
        if size and size % factor == 0 and (unit != "M" or size < 1 << 30):
            return f"{size // factor}{unit}"
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"


def _share(now: str) -> str:
    """Return the processor time of one second, such as `1.5s` or `1min 20s`, as a percentage of one CPU."""
    if now in ("", UNLIMITED):
        return now
    parts = re.findall(r"([0-9.]+) ?(us|ms|s|min|h)\b", now)
    try:
        return f"{100 * sum(float(number) * _SECONDS[unit] for number, unit in parts):g}%" if parts else now
    except ValueError:
        return now
