"""Data stays data: settings and the lock on their way into the real bash."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbserver.base.errors import NbserverError
from nbserver.render.bash import literal, lock_block, settings_block
from tests.linux.parts import require_bash
from tests.tier import examples

NASTY = [
    "'",
    '"',
    "''",
    "\u2018",
    "`",
    "$",
    "$(exit)",
    "${x}",
    "$'",
    "$'\\''",
    "\\",
    "\\\\",
    "\\'",
    "\\101",
    "\\x41",
    "\n",
    "\r",
    "\t",
    "\x01",
    "\x1b[0m",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "#",
    ";",
    "|",
    "&",
    "&&",
    "!",
    "!!",
    "~",
    "*",
    "?",
    "[a]",
    "{a,b}",
    "( x )",
    ")",
    "\u00e9",
    "\u65e5\u672c",
    "\U0001f600",
    " ",
    "  ",
    "%s",
    "NB_HOST='x'",
    "\nexit\n",
]
pieces = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
nasty = st.lists(pieces, max_size=6).map("".join)
many = examples(60)


def echo(code: str, name: str, locale: str = "C") -> list[str]:
    """The values that an array or a variable has in bash."""
    show = f'printf "%s\\0" "${{{name}[@]}}"' if code else ""
    done = subprocess.run(
        [require_bash(), "-c", f"set -eu\n{code}\n{show}"], capture_output=True, check=True, env={"LC_ALL": locale, "PATH": "/usr/bin:/bin"}
    )
    assert done.stderr == b""
    return done.stdout.decode("utf-8").split("\0")[:-1]


@many
@given(st.lists(nasty, min_size=1, max_size=5))
@example(["".join(NASTY)])
@example([""])
def test_every_text_survives(values: list[str]) -> None:
    block = settings_block({"texts": values})
    assert block.isascii() and block.count("\n") == 2 and all(char == "\n" or char.isprintable() for char in block)
    assert echo(block, "NB_TEXTS") == values


@many
@given(nasty)
def test_a_text_of_its_own_survives_in_any_locale(value: str) -> None:
    for locale in ("C", "C.UTF-8"):
        assert echo(settings_block({"a": {"b_c": value}}), "NB_A_B_C", locale) == [value]


@given(
    st.recursive(
        nasty | st.booleans() | st.none() | st.integers(),
        lambda v: st.dictionaries(st.sampled_from("abc"), v, max_size=3) | st.lists(nasty, max_size=3),
        max_leaves=6,
    )
)
def test_a_setting_is_one_line_and_they_are_sorted(value: object) -> None:
    lines = settings_block({"x": value, "a": 1}).splitlines()
    assert lines == [*sorted(lines[:-1], key=lambda line: line.split("=")[0]), ""]
    assert all(line.startswith("NB_") for line in lines[:-1])


def test_other_values() -> None:
    assert (
        settings_block({"b": None, "a": True, "c": 7, "d": [], "e": {"f": False}})
        == "NB_A='true'\nNB_B=''\nNB_C='7'\nNB_D=()\nNB_E_F='false'\n\n"
    )


@pytest.mark.parametrize(("text", "words"), [("\ud800", "a lone surrogate"), ("a\0b", "a NUL byte")])
def test_what_bash_cannot_hold_is_refused(text: str, words: str) -> None:
    with pytest.raises(NbserverError, match=f"the setting NB_A contains {words}"):
        literal(text, "NB_A")


HASH = " --hash=sha256:" + "0" * 64


def test_the_lock_is_data() -> None:
    lines = ("one==1.0" + HASH, 'two==2.0 ; python_full_version < "3.11" and (a == "b")' + HASH + HASH)
    assert echo(lock_block(lines), "LOCK") == list(lines)


@given(nasty)
def test_no_other_line_gets_into_the_lock(text: str) -> None:
    for wrong in {text, "one==1.0" + HASH + text, text + "one==1.0" + HASH, f"one==1.0 ; {text}{HASH}"} - {"one==1.0" + HASH}:
        try:
            block = lock_block((wrong,))
        except NbserverError:
            continue
        assert block == f"LOCK=(\n    '{wrong}'\n)\n\n" and wrong.isascii() and not set(wrong) & set("'\n\r`$\\")
