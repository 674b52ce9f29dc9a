"""Questions in another language, and answers in it."""

from __future__ import annotations

import io
import sys

import pytest

from nbserver.base.message import phrase
from nbserver.base.standard_streams import undemanding
from nbserver.cli import init, options
from nbserver.language import choice


@pytest.mark.parametrize(
    ("language", "answers"), [("en", ["y", "Yes"]), ("fr", ["oui", "O", "yes"]), ("ja", ["\u306f\u3044", "y", "YES "])]
)
def test_yes_in_the_language_of_the_reader(monkeypatch: pytest.MonkeyPatch, language: str, answers: list[str]) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    with undemanding(choice.language(language).render):
        assert all(map(init._is_yes, answers))
        assert not any(map(init._is_yes, ("", "no", "non", "n", "\u3044\u3044\u3048")))


def test_a_question_is_asked_in_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.prompt", lambda question, **given: asked.append(question) or "secret")
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    ask = options.asker()
    with undemanding(choice.language("fr").render):
        assert ask and ask(phrase("Notebook password of {name}: ", name="lin1")) == "secret"
    assert asked == ["Mot de passe des notebooks de lin1\u00a0: "]
