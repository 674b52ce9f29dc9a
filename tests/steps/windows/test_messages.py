"""Messages of the scripts: values are inserted once and as they are, and a failure carries its code to its event."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbserver.events.reader import parse
from tests.powershell.engine import Session, prelude, require_engine

values = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(
    ["{two}", "{one}", "$1", "$(1)", "{0}", "`n", "'@"]
)
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
START = "$lines = @($input); $Run.Events = 0; $Run.EventFile = ''; $Run.Stopped = $false; $Run.Step = 'python'\n"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "events"))
        yield opened


@many
@given(values, values)
def test_a_value_is_inserted_as_it_is(session: Session, one: str, two: str) -> None:
    said = session.run(START + "Format-Message '{one} and {two}, {one}' @{ one = $lines[0]; two = $lines[1] }", [one, two])
    assert "\n".join(said) == f"{one} and {two}, {one}"


def test_a_sentence_ends_with_one_period(session: Session) -> None:
    assert session.run(START + "Format-Message '{a}. {b}.txt' @{ a = 'Access is denied.'; b = 'x.' }") == ["Access is denied. x..txt"]


def failed(session: Session, code: str) -> dict[str, object]:
    (line,) = session.run(START + f"try {{ {code} }} catch {{ Write-Event failed (Get-FailureField $_.Exception) }}; Get-Said")
    assert parse(line).event == "failed"
    return {key: value for key, value in json.loads(line).items() if key in ("code", "values", "text", "cause")}


def test_a_failure_has_its_code_and_values(session: Session) -> None:
    assert failed(session, "throw (New-Failure port-taken 'Port {port} is taken by {program}' @{ port = 9999; program = $null })") == {
        "code": "port-taken",
        "values": {"port": 9999, "program": None},
        "text": "Port 9999 is taken by ",
    }


def test_a_failure_names_its_cause(session: Session) -> None:
    inner = "throw (New-Failure a-link '{path} is a link' @{ path = 'C:\\x' })"
    outer = f"try {{ {inner} }} catch {{ throw (New-Failure not-restored '{{key}}: {{cause}}' @{{ key = 'k' }} -Cause $_.Exception) }}"
    assert failed(session, outer) == {
        "code": "not-restored",
        "values": {"key": "k", "cause": "C:\\x is a link"},
        "text": "k: C:\\x is a link",
        "cause": {"code": "a-link", "values": {"path": "C:\\x"}},
    }


def test_an_exception_without_a_code_gets_one(session: Session) -> None:
    found = failed(session, "[IO.File]::OpenRead('C:\\none\\none')")
    assert found["code"] == "unexpected-error" and "none" in str(found["text"])
    full = failed(session, "throw (New-Object IO.IOException 'voll', -2147024784)")
    assert full["code"] == "disk-full" and full["text"] == "the disk is full: voll. Free some disk space, then try again"


def test_an_event_counts_when_it_is_written(session: Session) -> None:
    """A stop between the two leaves no gap in the host's record of events."""
    script = "$Run.Pipeline = New-Object PSObject; $Run.Pipeline | Add-Member ScriptMethod WriteObject { throw 'stopped' }\n"
    said = session.run(START + script + "try { Write-Event unchanged } catch { }; [string]$Run.Events")
    assert said == ["1"]
    script = "function Save-Event { throw 'stopped' }; $Run.EventFile = 'x'\n"
    assert session.run(START + script + "try { Write-Event unchanged } catch { }; [string]$Run.Events") == ["0"]
