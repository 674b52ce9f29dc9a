"""Files become parts, and parts become batches that one run can carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.notebooks import batches
from nbserver.notebooks.part import ABSENT, Part
from nbserver.notebooks.tree import File
from tests.tier import examples


@examples(50)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_every_byte_is_in_one_part_and_no_batch_is_too_large(sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LARGEST", 10)
        patch.setattr(batches, "MOST_PARTS", 3)
        files = {str(number): File(size, "1" * 64) for number, size in enumerate(sizes)}
        found = list(batches.batches(dict.fromkeys(files, ABSENT), files))
    assert all(batch and len(batch) <= 3 and sum(part.length for part in batch) <= 10 for batch in found)
    parts = [part for batch in found for part in batch]
    assert list(dict.fromkeys(part.path for part in parts)) == list(files)
    for path, file in files.items():
        own = [part for part in parts if part.path == path]
        assert [part.offset for part in own] == [sum(part.length for part in own[:count]) for count in range(len(own))]
        assert sum(part.length for part in own) == file.size and [part.is_last for part in own] == [False] * (len(own) - 1) + [True]


@pytest.mark.parametrize(
    "given", [{"sha256": "x"}, {"before": "x"}, {"offset": -1}, {"length": 4}, {"length": -1}], ids=lambda given: next(iter(given))
)
def test_a_part_is_in_its_file(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Part(**{"path": "a", "size": 3, "sha256": "1" * 64, "offset": 0, "length": 3, **given})  # type: ignore[arg-type]
