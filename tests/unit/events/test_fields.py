"""A host is not believed: an event counts only where it is exactly what the format says. The schema says the same."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.events import fields
from nbserver.events.reader import EventError, parse
from tests.formats import is_valid, schema
from tests.tier import examples
from tests.unit.test_formats import EXAMPLES

EVENTS: list[dict[str, Any]] = [value for kind, value in EXAMPLES if kind == "event"]


def event(name: str, **changes: Any) -> dict[str, Any]:
    """A copy of an example, with changes."""
    return {**copy.deepcopy(next(value for value in EVENTS if value["event"] == name)), **changes}


FINISHED = event("finished")

ATTACKS: dict[str, dict[str, Any]] = {
    "an outcome that nobody knows": {"outcome": "pwned"},
    "an outcome that is a list": {"outcome": ["ok"]},
    "changed is a text": {"changed": "many"},
    "changed is true": {"changed": True},
    "changed is a float": {"changed": 1.0},
    "changed is negative": {"changed": -1},
    "changed is huge": {"changed": 10**400},
    "differs is a text": {"differs": "no"},
    "a fingerprint of another form": {"fingerprint": "SHA256:00"},
    "a fingerprint with a line break": {"fingerprint": "SHA256:" + "0" * 64 + "\n"},
    "a fingerprint that is a number": {"fingerprint": 1},
    "restarting is a number": {"restarting": 1},
    "a finished step": {"step": "path"},
    "a field that nobody knows": {"more": 1},
    "the name of another host": {"host": "win2"},
    "n is true": {"n": True},
    "n is too high": {"n": fields.MOST_EVENTS + 1},
    "another version": {"v": 2},
    "the version is true": {"v": True},
}


@pytest.mark.parametrize("changes", ATTACKS.values(), ids=ATTACKS)
def test_an_end_that_is_not_exactly_an_end_is_refused(changes: dict[str, Any]) -> None:
    parse(json.dumps(FINISHED))
    with pytest.raises(EventError):
        parse(json.dumps({**FINISHED, **changes}))
    assert not is_valid("event", {**FINISHED, **changes})


@pytest.mark.parametrize("key", FINISHED.keys())
def test_an_end_that_lacks_something_is_refused(key: str) -> None:
    with pytest.raises(EventError):
        parse(json.dumps({name: value for name, value in FINISHED.items() if name != key}))


LINES = {
    "a lone surrogate": json.dumps(event("log", text="\ud800")),
    "a key twice": json.dumps(FINISHED)[:-1] + ',"outcome":"ok"}',
    "not a number": json.dumps(FINISHED).replace('"changed": 10', '"changed": NaN'),
    "infinity": json.dumps(FINISHED).replace('"changed": 10', '"changed": 1e999'),
    "a number of 5000 digits": json.dumps(FINISHED).replace('"changed": 10', '"changed": 1' + "0" * 5000),
    "a number of a million digits": '{"v": 1' + "0" * 900_000 + "}",
    "deep": "[" * 900_000,
    "deep objects": '{"a":' * 100_000,
    "a step that is a path": json.dumps(event("log", step="../x")),
    "a step that is markup": json.dumps(event("log", step="[link=https://example.com]x")),
    "a step with an escape": json.dumps(event("log", step="a\x1b[2J")),
    "a line that is not ASCII": json.dumps(event("log", text="\u202e"), ensure_ascii=False),
    "a line with a control character": json.dumps(event("log", text="x")).replace("x", "\x7f"),
    "a line that is too long": json.dumps(event("log", text="x" * 1_000_000)),
    "a nested value": json.dumps(event("difference", **{"is": {"a": 1}})),
    "a request with more around it": json.dumps(event("request", csr=event("request")["csr"] + "\x1b]0;x\x07")),
    "a request that is too long": json.dumps(event("request", csr=event("request")["csr"].replace("MII", "MII\n" * 30_000))),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_that_is_not_exactly_an_event_is_refused_in_clean_words(line: str) -> None:
    assert line not in map(json.dumps, EVENTS)
    with pytest.raises(EventError) as raised:
        parse(line)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 300


def test_what_the_scripts_of_0_1_0_wrote_is_still_read() -> None:
    for value in EVENTS:
        assert parse(json.dumps(value)).as_json() == value
    without = event("finished")
    without.pop("restarting", None)
    assert parse(json.dumps(without)).data["outcome"] == "ok"
    started = event("started")
    started.pop("boot")
    assert parse(json.dumps(started)).data["run"] == started["run"]


# ---- the schema and the reader


def test_the_schema_has_the_same_forms_and_fields() -> None:
    definitions = schema("event")["$defs"]
    names = {"started": "run_started", "started step": "step_started"}
    for name, form in fields.FORMS.items():
        definition = definitions[names.get(name, name)]
        assert set(definition["properties"]) - {"step"} == set(form) - set(definitions["event"]["properties"]), name
        required = {key for key, field in form.items() if field.required}
        assert set(definition.get("required", [])) == required - set(definitions["event"]["required"]), name


VALUES: list[Any] = [
    *(value for name in ("started", "request", "progress", "finished") for value in event(name).values()),
    *(None, True, False, 0, 1, -1, 1.0, 1.5, "", " ", "a", "A", "a_1", "1a", [], {}, ["ok"], {"a": 1}),
    *(2**53 - 1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, fields.MOST_EVENTS, fields.MOST_EVENTS + 1),
    *(
        "waiting",
        "pwned",
        "events",
        "line ",
        "line 5\n",
        "line 5x",
        "0.1.0rc1",
        "0.1",
        "0.1.0\n",
        "x" * 64,
        "x" * 65,
        "x" * 32_768,
        "x" * 32_769,
    ),
    *(
        "SHA256:" + "0" * 64 + "\n",
        "SHA256:" + "A" * 64,
        "SHA256:" + "0" * 63,
        "0" * 64,
        "\u0660" * 64,
        "2026-11-20T06:01:44Z\n",
        "\u0662026-11-22T17:10:35.9526580Z",
    ),
    *("-----BEGIN CERTIFICATE REQUEST-----\n", "win1.", "-win1", "w", "unheard", "2026-11-22T17:10:35.952658Z"),
]
KEYS = sorted({key for form in fields.FORMS.values() for key in form} | {"more", "Text"})


@examples(150)
@given(
    st.sampled_from(EVENTS),
    st.dictionaries(
        st.sampled_from(KEYS), st.sampled_from(VALUES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=2
    ),
    st.lists(st.sampled_from(KEYS), max_size=1),
)
def test_the_reader_accepts_what_the_schema_accepts(found: dict[str, Any], changes: dict[str, Any], gone: list[str]) -> None:
    value = {key: item for key, item in {**found, **changes}.items() if key not in gone}
    assert (fields.fault(value) is None) == is_valid("event", value)


@pytest.mark.parametrize("name", sorted(fields.FORMS))
def test_the_reader_accepts_what_the_schema_accepts_in_each_field(name: str) -> None:
    found = next(event for event in EVENTS if event["event"] == name.split()[0] and (name != "started step" or event["step"]))
    for key in fields.FORMS[name]:
        for value in VALUES:
            changed = {**found, key: value}
            assert (fields.fault(changed) is None) == is_valid("event", changed), (key, value)
