"""Names of hosts and groups."""

from __future__ import annotations

import pytest

from nbserver.inventory.names import name_fault


@pytest.mark.parametrize("name", ["win1", "a", "192.0.2.1", "A-b_c.d", "console", "com10", "localhost", "x" * 100])
def test_good_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        ".a",
        "a.",
        "a b",
        "a/b",
        "ä",
        "CON",
        "nul.txt",
        "Com1",
        "lpt9.x",
        "LOCAL",
        "x" * 101,
        "2026-11-22T10",
        "a\n",
        "approval",
        "Summary.json",
        "chain.jsonl.sig",
        "intent.json",
        "resumed-1.json",
        "summary-12.json",
        "approval-2",
    ],
)
def test_bad_names(name: str) -> None:
    assert name_fault(name) is not None
