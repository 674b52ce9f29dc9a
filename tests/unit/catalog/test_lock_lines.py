"""A line of a lock: one rule for the files that are read and for what gets into a script."""

from __future__ import annotations

import hashlib

import pytest

from nbserver.catalog import linux_lock, lock_lines, reader

HASH = " --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("line", "without", "with_conditions"),
    [
        (f"one==1.0{HASH}", "one", "one"),
        (f"a-b-2==1!2.0rc1+x.1{HASH}{HASH}", "a-b-2", "a-b-2"),
        (f'one==1.0 ; python_version < "3.11"{HASH}', None, "one"),
        (f"one==1.0 ; python_version < '3.11'{HASH}", None, None),
        ("one==1.0", None, None),
        (f"One==1.0{HASH}", None, None),
        (f"one-==1.0{HASH}", None, None),
        (f"one==v1{HASH}", None, None),
        (f"one>=1.0{HASH}", None, None),
        (f"one==1.0{HASH}0", None, None),
        (f"one==1.0{HASH}\n", None, None),
        (f" one==1.0{HASH}", None, None),
    ],
)
def test_a_line_is_one_package_with_its_hashes(line: str, without: str | None, with_conditions: str | None) -> None:
    assert lock_lines.package_of(line, conditions=False) == without
    assert lock_lines.package_of(line, conditions=True) == with_conditions


def test_every_shipped_line_is_one() -> None:
    assert all(lock_lines.package_of(line, conditions=False) for lock in reader.load().locks for line in lock.lines)
    assert all(lock_lines.package_of(line, conditions=True) for line in linux_lock.load().lines)


def test_the_digest_is_over_the_lines_with_their_line_feeds() -> None:
    assert lock_lines.digest(["a", "b"]) == hashlib.sha256(b"a\nb\n").hexdigest()
