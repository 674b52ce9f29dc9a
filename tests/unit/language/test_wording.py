"""The catalogs and pages use one word for one thing, and the spaces and marks of their language."""

from __future__ import annotations

import re

import pytest

from tests.checkout import CHECKOUT
from tools import translation_catalogs as catalogs

# Words for what has another name in docs/glossary.md.
OTHER_WORDS = {
    "fr": (
        r"(?<![Ff]ichier de )(?<![Ff]ichiers de )\bverrouillages?\b",  # lock
        r"r\u00e9pertoires? d'ex\u00e9cution",  # run directory
        r"ordonnanceur",  # scheduler
        r"r\u00e9partiteur",  # load balancer
        r"page d'examen",  # review page
        r"\btourn(e|ent)\b",  # a program runs
    ),
    "ja": (
        "\u767a\u884c\u5143|\u516c\u958b\u5143",  # publisher
        "(?<!\u30b3\u30df\u30c3\u30c8\u306b)\u56fa\u5b9a",  # to pin, except an action to a commit
        "\u30bf\u30fc\u30b2\u30c3\u30c8",  # target
        "\u30b9\u30b1\u30b8\u30e5\u30fc\u30e9\u30fc",  # scheduler
        "\u5186\u8a18\u53f7",  # backslash
    ),
}
MARKS = {
    # A no-break space is before these marks. A command in PowerShell, a pattern, and a list of characters are not sentences.
    "fr": (r"(?<=[\w)}\u00bb]) [:;?!](?= )", r"(?<=[a-z\u00e0-\u00ff]{2})[;?!](?=[\s)]|$)(?! Start-| Stop-| Restart-)"),
    # Full-width periods, half-width question marks, and no space within a compound in katakana, except in names of Windows.
    "ja": (
        "[\u3041-\u3093\u30a1-\u30f6\u4e00-\u9fa0}][.,](?= )",
        "[\uff1f\uff01\uff1a\uff1b\uff08\uff09]",
        "[\u30a1-\u30fc] [\u30a1-\u30fc]",
    ),
}
NAMES_WITH_SPACES = (
    "\u30b9\u30de\u30fc\u30c8 \u30a2\u30d7\u30ea \u30b3\u30f3\u30c8\u30ed\u30fc\u30eb",
    "\u30b5\u30fc\u30d0\u30fc \u30de\u30cd\u30fc\u30b8\u30e3\u30fc",
    "\u30ed\u30fc\u30ab\u30eb \u30b5\u30fc\u30d0\u30fc",
)


@pytest.mark.parametrize("language", catalogs.LANGUAGES)
def test_the_catalogs_use_the_words_and_marks_of_their_language(language: str) -> None:
    found = []
    for text, message in catalogs.read(catalogs.po_path(CHECKOUT, language), language).items():
        for translated in (message.string,) if isinstance(message.string, str) else message.string:
            plain = translated
            for name in NAMES_WITH_SPACES:
                plain = plain.replace(name, "")
            found += [(pattern, text, translated) for pattern in OTHER_WORDS[language] + MARKS[language] if re.search(pattern, plain)]
    assert found == []


@pytest.mark.parametrize("language", catalogs.LANGUAGES)
def test_the_pages_use_the_words_of_their_language(language: str) -> None:
    found = []
    for page in sorted((CHECKOUT / "docs").glob(f"*.{language}.md")):
        text = page.read_text("utf-8")
        joined = re.sub("\\n *", " ", text)
        found += [(page.name, pattern) for pattern in OTHER_WORDS[language] if re.search(pattern, joined)]
        found += [(page.name, line) for line in text.splitlines() if re.match(r"\s*[:;?!\u00bb]", line)]
    assert found == []
