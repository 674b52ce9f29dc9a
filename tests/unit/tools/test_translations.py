"""The catalogs of the translations: what is collected, and what is written."""

from __future__ import annotations

import gettext
from io import BytesIO
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT
from tools import translation_catalogs as catalogs
from tools.translation_texts import Text, collect, of_python

SOURCE = """
say(phrase("{name} is stopped", name=name))
counted("{count} file", "{count} files", len(files))
language.text("no template", x=1)
language.word(outcome)
words("ok", "failed")
utc.text(now)
WORDS: dict[str, str] = {"key": "a word"}
"""


def test_literals_and_tables_are_texts() -> None:
    found = [(text.text, text.several) for text in of_python(SOURCE, "a.py")]
    assert sorted(found) == [
        ("a word", ""),
        ("failed", ""),
        ("no template", ""),
        ("ok", ""),
        ("{count} file", "{count} files"),
        ("{name} is stopped", ""),
    ]


TEXTS = [Text("{count} file", "{count} files", "a.py", ""), Text("is locked", "", "b.py", "locked")]
PO = """
msgid ""
msgstr "Plural-Forms: nplurals=2; plural=(n > 1);\\n"

#: b.py
msgid "is locked"
msgstr "est verrouill\u00e9"

#: a.py
msgid "{count} file"
msgid_plural "{count} files"
msgstr[0] "un fichier"
msgstr[1] "{count} fichiers"

msgid "gone"
msgstr "parti"
"""


def test_a_catalog_keeps_its_texts_and_loses_those_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.po"
    path.write_text(PO, "utf-8")
    known = catalogs.read(path, "fr")
    assert catalogs.faults(TEXTS, known, "fr") == ["fr: gone is not a text of nbserver any more"]
    po = catalogs.updated(TEXTS, known, "fr")
    assert "gone" not in po and "Plural-Forms" in po
    found = gettext.GNUTranslations(BytesIO(catalogs.compiled(po, "fr")))  # type: ignore[arg-type]
    assert found.gettext("is locked") == "est verrouill\u00e9"
    assert [found.ngettext("{count} file", "{count} files", count) for count in (0, 1, 2)] == [
        "un fichier",
        "un fichier",
        "{count} fichiers",
    ]


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("{count} fichiers", "fichiers", "other placeholders"),
        ("est verrouill\u00e9", "est {state}", "other placeholders"),
        ("est verrouill\u00e9", "", "not translated"),
        ('msgid "is', '#, fuzzy\nmsgid "is', "fuzzy"),
    ],
)
def test_what_is_wrong_with_a_translation(tmp_path: Path, before: str, after: str, fault: str) -> None:
    path = tmp_path / "nbserver.po"
    path.write_text(PO.partition('msgid "gone"')[0].replace(before, after), "utf-8")
    assert [text.split(": ")[1] for text in catalogs.faults(TEXTS, catalogs.read(path, "fr"), "fr")] == [fault]


@pytest.mark.parametrize("language", catalogs.LANGUAGES)
def test_the_compiled_catalogs_are_what_their_sources_compile_to(language: str) -> None:
    po = catalogs.po_path(CHECKOUT, language).read_text("utf-8")
    assert catalogs.mo_path(CHECKOUT, language).read_bytes() == catalogs.compiled(po, language)


def test_every_text_is_translated() -> None:
    """After a new text: run tools/messages and tools/translations, and translate it in the .po."""
    texts = collect(CHECKOUT)
    known = {language: catalogs.read(catalogs.po_path(CHECKOUT, language), language) for language in catalogs.LANGUAGES}
    assert [fault for language in known for fault in catalogs.faults(texts, known[language], language)] == []
