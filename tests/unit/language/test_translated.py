"""Messages in another language, as objects and as what a host or a file has of them."""

from __future__ import annotations

from typing import Any

import pytest

from nbserver.base.errors import ConnectError, InventoryError
from nbserver.base.message import Cause, Lines, Reported, counted, detail, fill, message, phrase
from nbserver.base.plain_text import clean
from nbserver.language.language import Language
from nbserver.language.templates import Templates
from nbserver.language.translated import Translated

FRENCH = {
    "could not read {file}: {reason}": "impossible de lire {file}\u00a0: {reason}",
    "Check {file}": "V\u00e9rifiez {file}",
    "is locked": "est verrouill\u00e9",
    "{count} file": "{count} fichier",
    "the port {port} is in use. {cause}. Stop it": "le port {port} est occup\u00e9. {cause}. Arr\u00eatez-le",
    "none": "aucun",
    "absent": "absente",
}
PLURALS = {("{count} file", "{count} files"): ("{count} fichier", "{count} fichiers")}
TEXTS = {
    "not-read": [("could not read {file}: {reason}", "Check {file}")],
    "locked": [("is locked", "")],
    "in-use": [("another text of this code", ""), ("the port {port} is in use. {cause}. Stop it", "")],
}


class _Catalog:
    def gettext(self, text: str) -> str:
        return FRENCH.get(text, text)

    def ngettext(self, one: str, several: str, count: int) -> str:
        return PLURALS[one, several][count > 1]


@pytest.fixture
def french(monkeypatch: pytest.MonkeyPatch) -> Language:
    monkeypatch.setattr("nbserver.language.translated._catalog", lambda code: _Catalog())
    monkeypatch.setattr(Templates, "load", classmethod(lambda cls: cls(TEXTS, {"in-use": ["absent"]})))
    return Translated("fr")


def test_an_error_with_its_reason_place_and_remedy(french: Language) -> None:
    error = InventoryError(
        "not-read", "could not read {file}: {reason}", where="a.toml:3", todo="Check {file}", file="x", reason=Cause("locked", "is locked")
    )
    assert french.render(error) == "a.toml:3: impossible de lire x\u00a0: est verrouill\u00e9. V\u00e9rifiez x"
    assert str(error) == "a.toml:3: could not read x: is locked. Check x"


def test_what_a_result_has_of_an_error_is_enough(french: Language) -> None:
    error = ConnectError(
        "not-read", "could not read {file}: {reason}", host="web1", todo="Check {file}", file="x", reason=message("locked", "is locked")
    )
    known = detail(error)
    assert french.reported(str(error), known["code"], known["values"]) == french.render(error)


def test_several_reasons(french: Language) -> None:
    locked = message("locked", "is locked")
    for separator in ("\n", "; ", ", "):
        error = InventoryError("not-read", "could not read {file}: {reason}", file="x", reason=Lines([locked, locked], separator))
        assert french.render(error) == f"impossible de lire x\u00a0: est verrouill\u00e9{separator}est verrouill\u00e9"
        if separator != "\n":
            known = detail(error)
            assert french.reported(str(error), known["code"], known["values"]) == french.render(error)


def test_a_text_of_a_host_with_its_reason(french: Language) -> None:
    text = "the port 99 is in use. is locked. Stop it"
    said = Reported("in-use", text, {"port": 99, "cause": "is locked"}, {"code": "locked", "values": {}})
    assert french.render(said) == "le port 99 est occup\u00e9. est verrouill\u00e9. Arr\u00eatez-le"


@pytest.mark.parametrize(
    ("text", "code"),
    [("a text of another release", "in-use"), ("unknown", "no-such-code"), ("without a code", None), ("not at: is locked", None)],
)
def test_a_text_that_does_not_match_stays_english(french: Language, text: str, code: str | None) -> None:
    assert french.reported(text, code, {"port": 99}) == text


def test_words_of_a_difference_only_for_its_code(french: Language) -> None:
    assert french.difference_word("absent", "in-use") == "absente"
    assert french.difference_word("absent", "not-read") == "absent"


def test_phrases(french: Language) -> None:
    assert french.render(phrase("could not read {file}: {reason}", file="x", reason=None)) == "impossible de lire x\u00a0: aucun"
    assert [french.render(counted("{count} file", "{count} files", count)) for count in (0, 1, 2)] == [
        "0 fichier",
        "1 fichier",
        "2 fichiers",
    ]
    assert [str(counted("{count} file", "{count} files", count)) for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert french.text("no text of {name}", name="nbserver") == "no text of nbserver"


def test_what_a_host_sends_is_cleaned_as_in_english(french: Language) -> None:
    values = {"file": "a\x1b[2J\nweb2: ok", "reason": {"text": "b\u202e", "code": "locked", "values": {}}}
    english = fill("could not read {file}: {reason}", {"file": values["file"], "reason": "b\u202e"})
    assert french.reported(clean(english), "not-read", values) == "impossible de lire a\ufffd[2J / web2: ok\u00a0: b\ufffd"
    error = ConnectError("not-read", "could not read {file}: {reason}", host="web1", todo="Check {file}", file="a\x07\nb", reason="c")
    assert french.render(error) == "web1: impossible de lire a\ufffd / b\u00a0: c. V\u00e9rifiez a\ufffd / b"


@pytest.mark.parametrize("inner", [5, None, [], {"a": []}, {"file": {"text": [], "code": [], "values": 1}}])
def test_values_from_a_file_can_be_anything(french: Language, inner: Any) -> None:
    values = {"file": {"text": "x", "code": "not-read", "values": inner}, "reason": [{"code": ["locked"]}, 1]}
    english = fill("could not read {file}: {reason}", {"file": "x", "reason": ", 1"})
    assert french.reported(english, "not-read", values) == "impossible de lire x\u00a0: , 1"
    for _ in range(1000):
        values = {"file": {"text": "x", "code": "not-read", "values": values}, "reason": "y"}
    assert french.reported("could not read x: y", "not-read", values).startswith("impossible de lire x")


def test_a_text_of_a_host_is_recognized_in_time_that_grows_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    one = "could not download {a} {b} from {c} ({d}). Trying the next source, {e} (SHA-256 {f})"
    forms = Templates({"one": [(one, "")], "two": [("the user {u} has {g}, not {u}", "")]}, {})
    assert forms.recognized("could not download" + " from" * 2000 + ")") is None
    assert forms.recognized("could not download" + " from (" * 1500 + ").") is None
    values = {"a": "x", "b": "1", "c": "https://a (b)", "d": "gone", "e": "y", "f": "0"}
    assert forms.recognized(fill(one, values)) == (one, {**values, "c": "https://a", "d": "b) (gone"})
    assert forms.recognized("the user x has y, not x") == ("the user {u} has {g}, not {u}", {"u": "x", "g": "y"})
    assert forms.recognized("the user x has y, not z") is None
