"""The text of the first page, as a browser shows its paragraphs."""

from __future__ import annotations

import json
import re

import pytest

from nbserver.render.first_page import first_page


def paragraphs(language: str) -> str:
    cells = json.loads(first_page(language))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.mark.parametrize(("before", "after"), [("[ぁ-ヿ一-鿿]", "[*`]*[A-Za-z0-9]"), ("[A-Za-z0-9][*`]*", "[ぁ-ヿ一-鿿]")])
def test_japanese_has_a_space_next_to_a_latin_word(before: str, after: str) -> None:
    assert not re.findall(before + after, paragraphs("ja"))
