"""What is copied, and what is a conflict."""

from __future__ import annotations

from nbserver.notebooks.comparison import compare
from nbserver.notebooks.part import ABSENT
from nbserver.notebooks.tree import File


def file(content: str) -> File:
    return File(1, content * 64)


def test_a_file_is_replaced_only_if_it_is_the_one_that_was_copied() -> None:
    source = {"new": file("1"), "same": file("1"), "ours": file("2"), "both": file("2"), "unknown": file("2"), "large": file("2")}
    target = {"same": file("1"), "ours": file("1"), "both": file("3"), "unknown": file("1"), "only there": file("1"), "large": File(9, "")}
    found = compare(source, target, {"ours": "1" * 64, "both": "1" * 64, "large": ""}, ignores_case=False)
    assert found.copied == {"new": ABSENT, "ours": "1" * 64}
    assert (found.equal, found.conflicts) == (["same"], ["both", "unknown", "large"])


def test_a_file_that_differs_in_case_is_in_the_way_where_case_does_not_count() -> None:
    source, target = {"A.ipynb": file("1"), "b": file("1")}, {"a.ipynb": file("1"), "b": file("1")}
    assert compare(source, target, {}, ignores_case=True).conflicts == ["A.ipynb"]
    assert compare(source, target, {}, ignores_case=False).copied == {"A.ipynb": ABSENT}


def test_a_file_where_a_folder_should_be_is_in_the_way() -> None:
    assert compare({"a/b/c": file("1")}, {"a/b": file("1")}, {}, ignores_case=False).conflicts == ["a/b/c"]
