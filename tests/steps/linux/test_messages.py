"""Messages of the scripts: values are inserted once and as they are, and a failure carries its code to its event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbserver.events.reader import parse
from tests.linux.parts import run

values = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(["{two}", "{one}", "--", "$(x)", "'", "\\", "&"])
QUIET = "RUN_STEP=python\n"


def events(code: str, *arguments: str) -> list[dict[str, Any]]:
    lines = run(QUIET + code, *arguments).stdout.decode("ascii").splitlines()
    assert all(parse(line) for line in lines)
    kept = ("event", "code", "values", "text", "what", "cause", "done", "total", "unit")
    return [{key: value for key, value in json.loads(line).items() if key in kept} for line in lines]


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_a_value_is_inserted_as_it_is(one: str, two: str) -> None:
    (event,) = events('warn two-values \'{one} and {two}, {one}\' one "$1" two "$2"', one, two)
    assert event == {"event": "warning", "code": "two-values", "values": {"one": one, "two": two}, "text": f"{one} and {two}, {one}"}


def test_a_sentence_ends_with_one_period() -> None:
    (event,) = events("warn a-code '{a}. {b}.txt' a 'Access is denied.' b x.")
    assert event["text"] == "Access is denied. x..txt" and event["values"] == {"a": "Access is denied.", "b": "x."}


def test_progress_has_numbers() -> None:
    (event,) = events("report_progress waiting 'Waiting for {what}' 5 180 seconds what apt")
    assert event == {
        "event": "progress",
        "code": "waiting",
        "values": {"what": "apt"},
        "what": "Waiting for apt",
        "done": 5,
        "total": 180,
        "unit": "seconds",
    }


def test_a_failure_names_its_cause() -> None:
    code = "check() { problem a-link '{path} is a link' path /x || return; }\ncheck || fail refused '{cause}. Use {other}' other /y"
    (event,) = events(code)
    assert event == {
        "event": "failed",
        "code": "refused",
        "values": {"other": "/y", "cause": "/x is a link"},
        "text": "/x is a link. Use /y",
        "cause": {"code": "a-link", "values": {"path": "/x"}},
    }


def test_a_value_that_is_missing_is_an_error() -> None:
    done = run(QUIET + "warn a-code '{none}'")
    assert done.returncode and b"unbound" in done.stderr


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        ("1\n2\n3\n4\n5\n6\n7\n8\n9", "2 / 3 / 4 / 5 / 6 / 7 / 8 / 9"),
        ("noise\nerror: first\n  cause: second\nhint: third", "error: first /   cause: second / hint: third"),
        ("WARNING: old\nWARNING: proxy 407\nERROR: no uv", "WARNING: proxy 407 / ERROR: no uv"),
        ("E: Unable to locate package x", "E: Unable to locate package x"),
        ("", "(none)"),
        ("x" * 900, "x" * 800 + "..."),
    ],
)
def test_a_failed_program_is_reported_with_its_errors(output: str, kept: str) -> None:
    code = "if run_program bash -c 'printf %s \"$1\"; exit 7' x \"$1\"; then exit 1; fi; warn a '{cause}'"
    found = [event for event in events(code, output) if event["event"] == "warning"]
    assert [event["text"] for event in found] == [f"bash exited with code 7: {kept}"]
    assert found[0]["cause"] == {"code": "program-failed", "values": {"program": "bash", "exit_code": "7", "output": kept}}


def test_a_value_that_is_too_long_is_cut() -> None:
    """A server may have sent it. Bytes that are not ASCII take bash the longest."""
    code = """printf -v text '%0*d' 20000 0; format_message a-code 'the answer was {answer}' answer "${text//0/$'\\xff'}"
    printf '%s %s' "${#MESSAGE}" "${#MESSAGE_VALUES}" """
    done = run(code)
    assert done.stdout == b"4015 %d" % (len('{"answer":""}') + 3997 * 6 + 3), done.stderr
