"""Which language is chosen, by the options, the variables, and the system."""

from __future__ import annotations

import subprocess
import sys

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


def test_english_loads_no_catalog() -> None:
    assert choice.language("en") is ENGLISH
    program = "import sys; from nbserver.cli import program; print([name for name in sys.modules if name.endswith(('.translated', '.templates'))])"
    run = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
