"""Code pages: what a terminal of Windows can show of each language, and what is shown instead."""

from __future__ import annotations

import io
import sys

import pytest

from nbserver.cli import program
from nbserver.language import choice, letters
from tests.checkout import CHECKOUT
from tools import translation_catalogs as catalogs


@pytest.mark.parametrize(("language", "encoding"), [("ja", "cp932"), ("fr", "cp1252"), ("fr", "cp850")])
def test_all_texts_can_be_shown_in_the_code_page_of_the_language(language: str, encoding: str) -> None:
    texts = catalogs.read(catalogs.po_path(CHECKOUT, language), language).values()
    forms = [form for text in texts for form in ((text.string,) if isinstance(text.string, str) else text.string)]
    assert len(forms) > 2000
    lacking = {character for form in forms for character in form if character.encode(encoding, "ignore") == b""}
    assert lacking <= {"\u0153"}, lacking  # cp850 lacks the ligature, which becomes two letters


@pytest.mark.parametrize(
    ("encodings", "code"),
    [(["cp932", "utf-8"], "ja"), (["utf-8", None], "en"), (["cp1252", "utf-8"], "en"), (["no-such"], "en"), ([], "ja")],
)
def test_japanese_only_where_it_can_be_shown(encodings: list[str | None], code: str) -> None:
    assert choice.shown_on("ja", encodings) == code
    assert choice.shown_on("fr", encodings) == "fr"


def test_letters_without_their_accents() -> None:
    text = "\u00c9chec\u00a0: \u0153uvre, \u4e9c"
    assert text.encode("ascii", letters.NAME) == b"Echec : oeuvre, \\u4e9c"
    assert text.encode("cp437", letters.NAME).decode("cp437") == "\u00c9chec\u00a0: oeuvre, \\u4e9c"


@pytest.mark.parametrize(("language", "encoding"), [("ja", "cp932"), ("ja", "cp1252"), ("fr", "cp437"), ("fr", "cp1251")])
def test_a_message_is_never_lost(monkeypatch: pytest.MonkeyPatch, language: str, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["nbserver", "plan", "x", "-i", "none.toml", "--lang", language])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    with pytest.raises(SystemExit):
        program.main()
    said = raw.getvalue().decode(encoding)
    assert "none.toml" in said and "\\" not in said
    assert ("does not exist" in said) == (encoding == "cp1252")
