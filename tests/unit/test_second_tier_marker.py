"""A test of the second tier is left out of the first one, and not skipped there: nothing may be skipped."""

from __future__ import annotations

import re
from pathlib import Path

from tests.checkout import TESTS

OWN = Path(__file__)
SKIPS = re.compile(r"skip(if)?\([^)]*\btier\.FULL\b")


def test_no_test_is_skipped_because_of_its_tier() -> None:
    files = [file for file in sorted(TESTS.rglob("*.py")) if file != OWN and SKIPS.search(file.read_text("utf-8"))]
    assert not files, 'use @pytest.mark.second_tier("why") instead'
    assert SKIPS.search('@pytest.mark.skipif(not tier.FULL, reason="takes an hour")')
