"""Names that cannot be copied, and to which systems."""

from __future__ import annotations

import pytest

from nbserver.notebooks import names

FINE = ("Leçon/été.ipynb", "日本語.ipynb", "a b'c.csv", "x" * 255, "com.txt", "console", "nul x.txt", "a lesson~1.ipynb")
NEVER = (
    "",
    "/x",
    "../x",
    "a/../x",
    "a//b",
    ".hidden",
    "a/.git/x",
    "a\nb",
    "x" * 256,
    "/".join("x" * 40),
    "\udcff",
    "\ud800",
    "x" * 254 + "é",
)
NOT_ON_WINDOWS = (
    "con",
    "NUL.txt",
    "a/aux/x",
    "COM1",
    "nul .txt",
    "com1  .ipynb",
    "GIT~1/hooks/x",
    "lesson~1.IPY",
    "lpt9.ipynb",
    "a:b",
    "a\\b",
    "what?",
    "end.",
    "end ",
    "a|b",
    "x" * 100 + "/" + "y" * 100,
)


@pytest.mark.parametrize("path", FINE)
def test_these_can_be_copied(path: str) -> None:
    assert names.fault(path, on_windows=False) is None
    assert len(path) > 180 or names.fault(path, on_windows=True) is None


@pytest.mark.parametrize("path", NEVER)
def test_these_cannot(path: str) -> None:
    assert names.fault(path, on_windows=False) and names.fault(path, on_windows=True)


@pytest.mark.parametrize("path", NOT_ON_WINDOWS)
def test_these_cannot_be_on_windows(path: str) -> None:
    assert names.fault(path, on_windows=False) is None and names.fault(path, on_windows=True)


def test_what_windows_takes_for_the_same_file() -> None:
    assert names.same_on_windows("Lesson/E\u0301t\u00e9") == names.same_on_windows("lesson/\u00c9T\u00c9")
