"""Which language is chosen, by the options, the variables, and the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nbserver.language import choice
from nbserver.language.language import ENGLISH
from tests.checkout import SOURCE


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        ([], {}, "en"),
        (["plan", "--lang", "fr"], {"NBSERVER_LANG": "ja"}, "fr"),
        (["--lang=ja", "plan"], {}, "ja"),
        (["--lang", "ja", "plan", "--lang", "fr"], {}, "fr"),
        (["plan", "--", "--lang", "fr"], {}, "en"),
        (["plan"], {"NBSERVER_LANG": "ja", "LANG": "fr_FR.UTF-8"}, "ja"),
        (["--lang"], {"LANG": "fr_FR.UTF-8"}, "fr"),
        (["--lang", "de"], {"NBSERVER_LANG": "de", "LANG": "ja_JP.eucJP"}, "ja"),
        ([], {"LC_ALL": "C", "LANG": "fr_FR.UTF-8"}, "en"),
        ([], {"LC_ALL": "", "LC_MESSAGES": "ja_JP", "LANG": "fr_FR"}, "ja"),
        ([], {"LANG": "fr"}, "fr"),
        ([], {"LANG": "frp_IT.UTF-8"}, "en"),
    ],
)
def test_the_option_comes_first_then_the_variable_then_the_system(arguments: list[str], environment: dict[str, str], code: str) -> None:
    assert choice.code_of(arguments, environment) == code


@pytest.mark.parametrize(
    ("identifier", "code"), [(0x0409, "en"), (0x040C, "fr"), (0x0C0C, "fr"), (0x0411, "ja"), (0x0407, "en"), (0x100C, "fr")]
)
def test_windows_has_a_language_for_its_interface(monkeypatch: pytest.MonkeyPatch, identifier: int, code: str) -> None:
    """The identifiers of English, French of France, of Canada and of Switzerland, Japanese, and German; variables of Linux do not count."""
    asked = SimpleNamespace(kernel32=SimpleNamespace(GetUserDefaultUILanguage=lambda: identifier))
    monkeypatch.setattr(ctypes, "windll", asked, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert choice.code_of(["plan"], {"LANG": "ja_JP.UTF-8"}) == code
    assert choice.code_of(["plan"], {"NBSERVER_LANG": "ja"}) == "ja"


def test_english_loads_no_catalog() -> None:
    assert choice.language("en") is ENGLISH
    program = "import sys; from nbserver.cli import program; print([name for name in sys.modules if name.endswith(('.translated', '.templates'))])"
    run = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
