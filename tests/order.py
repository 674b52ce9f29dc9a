"""Long files first: a file that begins last must not be what every other worker waits for.

`seconds.txt` has the seconds that each file of ten or more took. A later run's times are written there with

    python -m tests.order junit.xml
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

SECONDS = Path(__file__).parent / "seconds.txt"
LEAST = 10


def read(text: str) -> dict[str, int]:
    """File below tests/ -> its seconds, of lines `SECONDS FILE`."""
    return {file: int(seconds) for seconds, file in (line.split() for line in text.splitlines())}


def measured(report: str) -> dict[str, float]:
    """The same of a report of pytest (--junitxml)."""
    found: dict[str, float] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"
        found[file] = found.get(file, 0) + float(case.get("time", 0))
    return found


def written(seconds: dict[str, float]) -> str:
    """Lines as `read` takes them, the longest file first."""
    return "".join(
        f"{taken:.0f} {file}\n" for file, taken in sorted(seconds.items(), key=lambda item: (-item[1], item[0])) if taken >= LEAST
    )


def ordered(files: Iterable[str], seconds: dict[str, int]) -> list[str]:
    """The files, the longest first; of those that nobody has measured, and short ones, in their own order behind them."""
    return sorted(files, key=lambda file: -seconds.get(file, 0))


if __name__ == "__main__":
    SECONDS.write_text(written(measured(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")
