"""Known secrets are masked in whatever is shown or kept."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import NbserverError, VerifyError
from nbserver.base.message import Lines, detail, message
from nbserver.language import choice
from nbserver.run import secret_mask
from nbserver.run.result import Result
from nbserver.run.secret_mask import MANY, MARK, SecretMask

SECRET = 'corr\u00e9ct "horse" b\\ttery'


def mask(*secrets: str, public: tuple[str, ...] = ()) -> SecretMask:
    made = SecretMask(public)
    made.add(*secrets)
    return made


def test_a_secret_is_masked_in_all_its_forms() -> None:
    for form in (SECRET, json.dumps(SECRET)[1:-1], base64.b64encode(SECRET.encode()).decode(), "corr%C3%A9ct%20%22horse%22%20b%5Cttery"):
        assert mask(SECRET).text(f"said {form} twice: {form}.").replace("=", "") == f"said {MARK} twice: {MARK}."
    assert mask(SECRET).text("said nothing") == "said nothing" and mask().text(SECRET) == SECRET


@pytest.mark.parametrize(
    "form",
    [
        repr('it\'s "f" <&> \u00e9'),
        repr('it\'s "f" <&> \u00e9'.encode()),
        "it&apos;s &quot;f&quot; &lt;&amp;&gt; \u00e9",
        "it's &quot;f&quot; &lt;&amp;&gt; \u00e9",
        'it\'s "f" &lt;&amp;&gt; \u00e9',
        "it%27s+%22f%22+%3C%26%3E+%C3%A9",
        "'it'\\''s \"f\" <&> \u00e9'",
        "'it''s \"f\" <&> \u00e9'",
        '"it\\u0027s \\"f\\" \\u003c\\u0026\\u003e \u00e9"',
        'it\'s \x1b[01;31m\x1b[K"f"\x1b[m <&> \u00e9',
        '\x1b[1mit\'s\x1b[0m "f" <\x1b[32m&\x1b[0m> \u00e9',
    ],
    ids=[
        "Python",
        "Python's bytes",
        "XML",
        "HTML's attribute",
        "XML's text",
        "a form",
        "bash",
        "PowerShell",
        "ConvertTo-Json",
        "grep",
        "colors",
    ],
)
def test_no_program_that_quotes_or_colors_it_hides_it(form: str) -> None:
    made = mask('it\'s "f" <&> \u00e9')
    assert MARK in made.text(f"said {form}.") and "f" not in made.text(f"-{form}-")
    assert MARK in str(json.loads(made.line(json.dumps({"text": f"said {form}."}))))


def test_colors_without_a_secret_stay() -> None:
    assert mask("correct horse").text("\x1b[1mcorrect\x1b[0m") == "\x1b[1mcorrect\x1b[0m"


def test_the_longest_one_is_masked_first() -> None:
    assert mask("argon2:abcdef", "abcdef").text("argon2:abcdef abcdef") == f"{MARK} {MARK}"


def test_a_key_is_known_by_its_lines() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n"
    assert mask(key).text("x MIGHAgEAMBMGByqGSM49 y") == f"x {MARK} y"
    assert mask(key).text("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize("secret", ["", "abc", "abcde"])
def test_a_short_one_is_not_masked(secret: str) -> None:
    assert mask(secret).text("abcdefgh") == "abcdefgh"


def test_what_anybody_may_read_is_not_masked() -> None:
    """A password that is the user's name would make every honest event a leak."""
    assert mask("vagrant", public=("the user vagrant",)).text(r"C:\Users\vagrant") == r"C:\Users\vagrant"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=30), st.booleans(), st.booleans())
def test_no_escape_in_a_line_of_json_hides_it(secret: str, escape_all: bool, as_key: bool) -> None:
    if any(secret in text for text in ('{"v": 1, "text": "a  b", "list": []}', MARK)):
        return
    escaped = "".join(f"\\u{unit:04x}" for unit in _units(secret)) if escape_all else json.dumps(secret)[1:-1]
    line = f'{{"v": 1, "text": "a {escaped} b"}}' if not as_key else f'{{"v": 1, "list": [{{"{escaped}": 1}}]}}'
    clean = mask(secret).line(line)
    assert clean != line and secret not in str(json.loads(clean)) and json.loads(clean)["v"] == 1


def _units(text: str) -> Iterator[int]:
    data = text.encode("utf-16-be")
    return (int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def test_a_key_that_comes_twice_hides_nothing() -> None:
    line = '{"text": "\\u0063orrect horse", "text": "harmless"}'
    assert "orrect" not in mask("correct horse").line(line)


@pytest.mark.parametrize("line", ["no JSON correct horse \\", '{"a": "correct horse"', "[" * 100000 + "correct horse \\"])
def test_what_is_no_json_is_masked_as_text(line: str) -> None:
    assert mask("correct horse").line(line) == line.replace("correct horse", MARK)


@pytest.mark.parametrize("line", ['{"v":1,  "text":"\\u00e9 \\/"}', '{"a":"\\n","n":' + "9" * 100000 + "}"])
def test_a_line_without_a_secret_stays_as_it_was(line: str) -> None:
    assert mask("correct horse").line(line) == line


def test_numbers_stay_numbers() -> None:
    assert json.loads(mask("correct horse").line('{"n":17,"b":true,"text":"\\u0063orrect horse"}')) == {"n": 17, "b": True, "text": MARK}


def test_an_error_is_masked_wherever_it_holds_one() -> None:
    error = NbserverError("said", "it said {words}", where="correct horse", todo="Do not say {words}", words="correct horse")
    mask("correct horse").error(error)
    assert str(error) == f"{MARK}: it said {MARK}. Do not say {MARK}" and "correct" not in repr(error)
    assert detail(error) == {"code": "said", "values": {"words": MARK}}


def test_a_traceback_keeps_its_lines_in_every_language() -> None:
    error = VerifyError(
        "cell-failed", "the test cell failed with {error}: {reason}", host="win1", error="E", reason="r\n    correct horse\n    b"
    )
    mask("correct horse").error(error)
    assert str(error) == choice.language("fr").render(error).replace(
        "la cellule de test a \u00e9chou\u00e9 avec E\u00a0", "the test cell failed with E"
    )
    assert str(error) == "win1: the test cell failed with E: r\n    *****\n    b"


def test_a_reason_in_an_error_is_masked() -> None:
    reason = message("inner", "because of {words}", words="correct horse")
    error = NbserverError("outer", "failed: {reason}{n}", reason=reason, n=3)
    mask("correct horse").error(error)
    inner = {"text": f"because of {MARK}", "code": "inner", "values": {"words": MARK}}
    assert detail(error) == {"code": "outer", "values": {"reason": inner, "n": 3}}
    result = Result("win1")
    result.because(Lines([reason, reason]))
    mask("correct horse").result(result)
    assert "correct" not in json.dumps(result.as_json()) and result.error == f"because of {MARK} / because of {MARK}"


def test_a_transport_is_watched() -> None:
    class Said:
        def run(self, script: str, envelope: Any) -> Iterator[str]:
            yield from ('{"text":"fine"}', '{"text":"correct horse"}', '{"text":"correct hors\\u0065"}')

        def close(self) -> None:
            pass

    leaks: list[str] = []
    lines = list(mask("correct horse").watch(Said(), lambda: leaks.append("x")).run("", []))
    assert lines == ['{"text":"fine"}', f'{{"text":"{MARK}"}}', f'{{"text": "{MARK}"}}'] and len(leaks) == 2


@given(st.text("ab*'\\\" é", min_size=6, max_size=9), st.text("ab*'\\\" é", max_size=60))
def test_many_secrets_are_found_as_few_are(secret: str, text: str) -> None:
    few, many = SecretMask(), SecretMask()
    few.add(secret)
    many.add(secret, *(f"xxxxxx{number}" for number in range(MANY)))
    for said in (text, f"{text}{secret}{text}", f"{text[:30]}{secret}"):
        assert many.text(said) == few.text(said)


@pytest.mark.parametrize("searched", [0, 10**9])
def test_what_is_public_is_found_in_the_same_way_for_thousands_of_secrets(monkeypatch: pytest.MonkeyPatch, searched: int) -> None:
    """Each script is then looked at once, and not once for each secret."""
    monkeypatch.setattr(secret_mask, "SEARCHED", searched)
    mask = SecretMask(["the user is ubuntu-admin", "apt-get install"])
    mask.add("ubuntu", "install-key", "correct")
    mask.add("correct horse", "admin\n", "get inst")
    assert mask.text("ubuntu, install-key, correct, correct horse, get inst") == "ubuntu, *****, *****, *****, get inst"
    copied = pickle.loads(pickle.dumps(mask))
    copied.add("user is", "hidden words")
    assert copied.text("user is, hidden words, correct horse") == "user is, *****, *****"
