"""The order of the files, and what marks a test."""

from __future__ import annotations

import re

import pytest

from tests import order
from tests.checkout import CHECKOUT, TESTS
from tests.markers import MARKERS, markers_of

REPORT = """<testsuites><testsuite>
<testcase classname="tests.stories.test_linux" name="a" time="200.5"/><testcase classname="tests.stories.test_linux" name="b" time="60"/>
<testcase classname="tests.unit.view.test_view" name="a" time="0.1"/><testcase classname="tests.test_wheel" name="a" time="30.2"/>
</testsuite></testsuites>"""


def test_long_files_come_first_and_the_others_as_they_are() -> None:
    seconds = order.read("260 stories/test_linux.py\n30 test_wheel.py\n")
    assert order.ordered(["b.py", "test_wheel.py", "a.py", "stories/test_linux.py"], seconds) == [
        "stories/test_linux.py",
        "test_wheel.py",
        "b.py",
        "a.py",
    ]


def test_a_report_becomes_the_lines_that_are_read() -> None:
    text = order.written(order.measured(REPORT))
    assert text == "260 stories/test_linux.py\n30 test_wheel.py\n" and order.read(text) == {
        "stories/test_linux.py": 260,
        "test_wheel.py": 30,
    }


def test_every_file_that_is_measured_is_there() -> None:
    assert [file for file in order.read(order.SECONDS.read_text("utf-8")) if not (TESTS / file).is_file()] == []


@pytest.mark.parametrize(
    ("path", "markers"),
    [
        ("unit/view/test_view.py", ("unit",)),
        ("faults/test_linux.py", ("root",)),
        ("faults/test_host.py", ("pwsh",)),
        ("stories/test_linux.py", ("root", "browser")),
        ("test_wheel.py", ()),
    ],
)
def test_the_longest_beginning_decides(path: str, markers: tuple[str, ...]) -> None:
    assert markers_of(path) == markers


def test_every_marker_is_registered_and_every_beginning_is_of_a_file() -> None:
    registered = re.findall(r"^    (\w+): ", (CHECKOUT / "setup.cfg").read_text("utf-8").partition("\nmarkers =")[2], re.MULTILINE)
    assert {marker for markers in MARKERS.values() for marker in markers} == set(registered)
    assert all((TESTS / start).exists() for start in MARKERS)
