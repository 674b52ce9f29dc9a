"""Entries of others that are taken out of PATH and put back: exactly as it was, or as near as others' changes let it be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.powershell.engine import Session, prelude, require_engine

many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
segments = st.sampled_from(
    [
        "",
        " ",
        "C:\\Python27",
        "c:\\python27",
        "C:\\Python27\\Scripts",
        "%SystemRoot%",
        "D:\\a b",
        '"C:\\q"',
        "caf\u00e9",
        "cafe\u0301",
        "a\u00adb",
        "ab",
    ]
)
paths = st.lists(segments, min_size=1, max_size=8)
REMOVE = "$lines = @($input); $path = $lines[0]; foreach ($entry in @($lines | Select-Object -Skip 1)) { $path; $path = Get-PathWithout $path $entry }; $path"
PUT_BACK = "$lines = @($input); $path = $lines[0]; for ($i = 1; $i -lt $lines.Count; $i += 2) { $path = Join-PathEntry $path $lines[$i] $lines[$i + 1] }; $path"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "record", "registry", "path_entries"))
        yield opened


def same(one: str, other: str) -> bool:
    """Ordinal, without regard to case, as Windows compares names."""
    return one.upper() == other.upper()


def remove(session: Session, path: str, entries: Sequence[str]) -> list[str]:
    """PATH before each entry is taken out, and after the last."""
    return session.run(REMOVE, [path, *entries])


def put_back(session: Session, path: str, entries: Sequence[str], before: Sequence[str]) -> str:
    """PATH after undo has played the record backwards."""
    record = [text for pair in reversed(list(zip(entries, before, strict=False))) for text in pair]
    (out,) = session.run(PUT_BACK, [path, *record])
    return out


@many
@given(paths, st.data(), st.lists(st.sampled_from(["C:\\Program Files\\nbserver\\env-0\\Scripts", "C:\\new"]), max_size=2))
def test_what_nobody_else_changed_is_exactly_as_before(session: Session, path: list[str], data: st.DataObject, appended: list[str]) -> None:
    """Also while our own entries still stand at its end."""
    entries = data.draw(
        st.lists(st.sampled_from([entry for entry in path if entry.strip()] or ["C:\\Python27"]), max_size=4, unique_by=str.upper)
    )
    before = remove(session, ";".join(path), entries)
    assume(before[-1] or not appended)  # a PATH that was emptied has no place that an entry could be appended to
    end = "".join(f";{entry}" for entry in appended)
    assert not [left for left in before[-1].split(";") if any(same(left, entry) for entry in entries)]
    assert put_back(session, before[-1] + end, entries, before) == ";".join(path) + end


@many
@given(paths, paths, st.sampled_from(["C:\\Python27", "D:\\a b"]))
@example(["C:\\Python27"], ["D:\\a b"], "C:\\Python27")
def test_changes_of_others_stay_and_the_entry_is_there_as_often_as_before(
    session: Session, before: list[str], now: list[str], entry: str
) -> None:
    after = put_back(session, ";".join(now), [entry], [";".join(before)]).split(";")
    others = [segment for segment in now if not same(segment, entry)]
    kept = [segment for segment in after if not same(segment, entry)]
    assert kept == others or (now == [""] and kept == []), "an empty PATH has no segment"
    count = [sum(same(segment, entry) for segment in segments) for segments in (before, now, after)]
    assert count[2] == max(count[0], count[1])


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        ("a;P;b", "new;a;b", "new;a;P;b"),
        ("a;P;b", "b;new", "P;b;new"),
        ("a;P;b", "new;b", "new;P;b"),
        ("P;b", "new;b", "P;new;b"),
        ("x;P", "new", "new;P"),
        ("a;P;b;P", "b;a", "b;P;a;P"),
        ("a;P;b", "P;a;b", "P;a;b"),
        ("P", "", "P"),
        (";P", "", ";P"),
    ],
)
def test_its_place_is_seen_from_its_neighbours(session: Session, before: str, now: str, after: str) -> None:
    assert put_back(session, now, ["P"], [before]) == after
