"""Messages: a code, a template, and values that are never expanded."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import ConnectError, InventoryError, NbserverError, UsageError, VerifyError
from nbserver.base.message import DescribedError, Lines, Message, cause, checked, detail, fill, message

HOSTILE = st.one_of(
    st.text(),
    st.sampled_from(["{a}", "{b}", "{{a}}", "{", "}", "\\1", "\\g<0>", "%s", "{0}", "{a!r}", "{a.__class__}", "$a", "\x1b[31m{a}"]),
)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(
    st.dictionaries(NAME, HOSTILE, min_size=1), st.lists(st.text(alphabet=st.characters(exclude_characters="{}.")), min_size=9, max_size=9)
)
def test_a_value_is_inserted_as_it_is(values: dict[str, str], between: list[str]) -> None:
    names = list(values)[:8]
    template = "".join(
        text + (f"{{{name}}}" if name else "") for text, name in zip(between, [*names, *[""] * (9 - len(names))], strict=True)
    )
    assert fill(template, values) == "".join(text + values.get(name, "") for text, name in zip(between, [*names, *[""] * 9], strict=False))


@given(HOSTILE, HOSTILE)
def test_the_values_of_an_error_are_those_that_were_given(a: str, b: str) -> None:
    error = NbserverError("two-values", "a is {a}, b is {b}", todo="Look at {a}", a=a, b=b)
    assert (error.code, error.values) == ("two-values", {"a": a, "b": b})
    assert len(json.dumps(detail(error))) < 100_000 and str(error).startswith("a is ")


def test_a_sentence_ends_with_one_period() -> None:
    """A message of another program is a sentence with its period; a file name, and three periods, stay as they are."""
    assert fill("it failed: {a}. Try again", {"a": "Access is denied."}) == "it failed: Access is denied. Try again"
    assert fill("{a}. {b}.", {"a": "cut off...", "b": "No."}) == "cut off... No."
    assert fill("{a}.txt and {b}", {"a": "x.", "b": "y."}) == "x..txt and y."


def test_other_braces_are_text() -> None:
    assert fill('add key = { env = "{name}" }, {}, {A}, {a b}', {"name": "X"}) == 'add key = { env = "X" }, {}, {A}, {a b}'


def test_numbers_paths_and_nothing_are_values() -> None:
    values = checked("some-code", ("{n} {path} {nothing}",), {"n": 3, "path": PurePosixPath("/a"), "nothing": None})
    assert values == {"n": 3, "path": "/a", "nothing": None} and fill("{n} {path} {nothing}", values) == "3 /a none"


@pytest.mark.parametrize(
    ("code", "template", "values"),
    [
        ("no-value", "{a} {b}", {"a": "1"}),
        ("no-placeholder", "{a}", {"a": "1", "b": "2"}),
        ("Upper-Case", "a", {}),
        ("two--hyphens", "a", {}),
        ("under_score", "a", {}),
        ("a-sentence is not a code", "a", {}),
        ("x" * 65, "a", {}),
        ("", "a", {}),
    ],
)
def test_an_incomplete_message_is_a_bug(code: str, template: str, values: dict[str, str]) -> None:
    for make in (message, NbserverError, DescribedError):
        with pytest.raises(AssertionError):
            make(code, template, **values)


def test_a_placeholder_of_the_remedy_needs_a_value_too() -> None:
    with pytest.raises(AssertionError):
        UsageError("no-match", "nothing matches", todo="Hosts: {hosts}")
    error = UsageError("no-match", 'nothing matches "{name}"', where="file:1", todo="Hosts: {hosts}", name="{hosts}", hosts="a, b")
    assert str(error) == 'file:1: nothing matches "{hosts}". Hosts: a, b'


def test_an_error_of_a_host_has_a_place() -> None:
    error = ConnectError("connection-lost", "the connection to {place} was lost", host="win1", todo="Try again", place="win1:5986")
    assert str(error) == "win1: the connection to win1:5986 was lost. Try again" and error.host == "win1"
    assert str(ConnectError("lost", "lost", host="win1", where="win1, login")) == "win1, login: lost"
    assert str(ConnectError("lost", "it said {words}", host="h", words="a\nb")) == "h: it said a / b"
    assert str(VerifyError("lost", "it said {words}", host="h", words="a\nb")) == "h: it said a\nb"


def test_a_reason_keeps_its_code() -> None:
    reason = message("too-long", "longer than {limit} characters", limit=5)
    error = InventoryError("setting-invalid", "{key}: {reason}", key="user", reason=reason)
    assert str(error) == "user: longer than 5 characters"
    assert detail(error) == {
        "code": "setting-invalid",
        "values": {"key": "user", "reason": {"text": "longer than 5 characters", "code": "too-long", "values": {"limit": 5}}},
    }


def test_several_messages_are_an_array() -> None:
    faults = Lines([message("one", "first"), message("two", "second")])
    assert str(InventoryError("several", "{faults}", faults=faults)) == "first\nsecond"
    assert [part["code"] for part in detail(InventoryError("several", "{faults}", faults=faults))["values"]["faults"]] == ["one", "two"]


def test_values_for_programs_are_clean_and_short() -> None:
    error = UsageError("bad-text", "{text}", text="\x1b[2J\u202e" + "x" * 9000)
    text = detail(error)["values"]["text"]
    assert text.startswith("\ufffd[2J\ufffdxxx") and len(text) == 4000


def test_another_class_can_have_the_same_text() -> None:
    other = UsageError("no-match", 'nothing matches "{name}"', todo="Use {other}", where="here", name="{other}", other="b")
    error = ConnectError.of(other, host="win1")
    assert str(error) == 'win1: nothing matches "{other}". Use b' and (error.code, error.values) == (other.code, other.values)


def test_the_cause_is_the_error_itself_if_it_has_a_code() -> None:
    described = DescribedError("too-long", "longer than {limit} characters", limit=5)
    assert cause(described) is described and str(described) == "longer than 5 characters"
    assert cause(ValueError("a\x1b\nb")) == "a\ufffd / b" and cause(DescribedError("long", "x" * 99), 10) == "x" * 7 + "..."


def test_equal_messages_are_one() -> None:
    assert len({message("a", "{x}", x="1"), message("a", "{x}", x="1"), Message("a", "{x}", {"x": "2"})}) == 2
