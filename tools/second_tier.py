"""The second tier of the checks, as data: its parts, which of them are left to do, and the table of what they ended with.

tools/check --full runs the parts. It knows from a state file what has passed at this commit, so it can be stopped and continued.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HEAD = "| Date | Commit | Machine | Part | Duration | Result |\n| --- | --- | --- | --- | --- | --- |\n"
OK = "ok"


@dataclass(frozen=True)
class Part:
    """Something that passes or fails by itself: the tests below `paths`, with a separate Python if one is named, or a program."""

    name: str
    paths: tuple[str, ...] = ()
    python: str = ""
    program: str = ""


# The short ones first. What is not here, a test of the list finds.
PARTS = (
    Part("static checks"),
    *(Part(f"unit tests, Python {version}", ("tests/unit",), version) for version in PYTHONS),
    Part(
        "wheel, processes, verify",
        (
            "tests/test_wheel.py",
            "tests/test_wheelhouse.py",
            "tests/test_site.py",
            "tests/test_report_page.py",
            "tests/test_review_page.py",
            "tests/processes",
            "tests/verify",
        ),
    ),
    Part("steps, Linux", ("tests/steps/linux",)),
    Part("steps, Windows", ("tests/steps/windows", "tests/powershell")),
    Part("transports", ("tests/transports",)),
    Part("boxes", ("tests/boxes",)),
    Part("stories", ("tests/stories",)),
    Part("faults", ("tests/faults", "tests/cluster")),
    Part("unit tests, everything", ("tests/unit",)),
    Part("lower bounds", program="tools/lowest"),
)


@dataclass(frozen=True)
class Row:
    """What one part ended with."""

    date: str
    commit: str
    machine: str
    part: str
    seconds: float
    result: str

    def line(self) -> str:
        return f"| {self.date} | {self.commit} | {self.machine} | {self.part} | {duration(self.seconds)} | {self.result} |\n"


def passed(state: str, commit: str) -> set[str]:
    """The parts that have passed at this commit, by the text of a state file; none where it is of another, or no such file."""
    try:
        value = json.loads(state)
    except ValueError:
        return set()
    return set(value["passed"]) if isinstance(value, dict) and value.get("commit") == commit else set()


def state_of(commit: str, done: Iterable[str]) -> str:
    """The text of a state file, as `passed` reads it."""
    return json.dumps({"commit": commit, "passed": sorted(done)}, indent=2) + "\n"


def left(done: set[str]) -> list[Part]:
    """The parts that have not passed yet."""
    return [part for part in PARTS if part.name not in done]


def with_row(text: str, row: Row) -> str:
    """The document with a row at the end of its table, in place of one of the same commit, machine and part."""
    same = [cell.strip() for cell in row.line().split("|")]
    kept = [line for line in text.splitlines(keepends=True) if [cell.strip() for cell in line.split("|")][2:5] != same[2:5]]
    return "".join(kept).rstrip("\n") + "\n" + row.line()


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 41 s, 3 min 07 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def machine(cpus: int, release: Path = Path("/etc/os-release"), memory: Path = Path("/proc/meminfo")) -> str:
    """This machine in a few words, none of them its name."""
    system = f"{platform.system()} {platform.release()}"
    if release.is_file():
        values = dict(line.split("=", 1) for line in release.read_text("utf-8").splitlines() if "=" in line)
        system = values.get("PRETTY_NAME", system).strip('"')
    words = [system, platform.machine(), f"{cpus} CPUs"]
    if memory.is_file():
        kilobytes = int(memory.read_text("ascii").partition("MemTotal:")[2].split()[0])
        words.append(f"{round(kilobytes / 2**20)} GB")
    return ", ".join(words)
