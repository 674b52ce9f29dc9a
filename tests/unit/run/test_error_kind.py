"""Every error of a host has a kind, and each kind is one that docs/formats.md explains."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from nbserver.base import errors
from nbserver.base.errors import AuthenticationError, ConnectError, HostError, ScriptError
from nbserver.base.message import detail, message
from nbserver.events import description
from nbserver.run import error_kind
from nbserver.run.result import Result, exit_code
from tests.checkout import CHECKOUT, SOURCE
from tests.formats import schema, validate
from tests.unit.run.test_host_run import event

CLASSES = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, HostError)}


def codes_of_hosts() -> Iterator[str]:
    """The code of each error in the source that is raised for a host."""
    for path in (SOURCE / "nbserver").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_error = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES
            if is_error and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def test_every_code_of_a_host_error_has_a_kind_of_its_own() -> None:
    found = set(codes_of_hosts())
    assert len(found) > 100
    assert found <= error_kind.BY_CODE.keys(), sorted(found - error_kind.BY_CODE.keys())


def test_every_code_with_a_kind_is_a_message() -> None:
    said = set(re.findall(r"^\| `([a-z0-9-]+)`", (CHECKOUT / "docs" / "messages.md").read_text("utf-8"), re.MULTILINE))
    listed = error_kind.BY_CODE.keys() | error_kind.BY_SCRIPT_CODE.keys() | error_kind.REPORTED | error_kind.AROUND
    assert listed <= said, sorted(listed - said)


def test_no_code_has_two_kinds() -> None:
    for table in (error_kind._CODES, error_kind._SCRIPT_CODES):
        codes = [code for found in table.values() for code in found]
        assert len(codes) == len(set(codes))


def test_the_documented_kinds_are_those_of_the_schema() -> None:
    text = (CHECKOUT / "docs" / "formats.md").read_text("utf-8").partition("| Kind | What happened |")[2]
    assert tuple(re.findall(r"^\| `(\w+)` \|", text.partition("\n\n")[0], re.MULTILINE)) == error_kind.KINDS
    assert tuple(schema("summary")["$defs"]["error_kind"]["enum"]) == error_kind.KINDS


def reported(step: str, code: str | None) -> Any:
    data = {"text": "it failed", **({"code": code, "values": {}} if code else {})}
    return detail(description.failure("win1", _event(step, data)))


def _event(step: str, data: dict[str, Any]) -> Any:
    from nbserver.events import reader

    return reader.parse(json.dumps(event(1, "failed", step, **data)))


LOST = ConnectError("winrm-nothing-listening", "{place} refused the connection", host="win1", place="win1:5986")


def deep(levels: int) -> dict[str, Any]:
    """An error around an error, as a file can have it that nbserver has not written."""
    found: dict[str, Any] = {"code": "x"}
    for _ in range(levels):
        found = {"code": "jump-not-reached", "values": {"reason": found}}
    return found


REASONS: dict[str, tuple[Any, str]] = {
    "a host error": (detail(LOST), "refused"),
    "a step": (reported("path", None), "step"),
    "a step with a code": (reported("path", "port-used"), "step"),
    "not an administrator": (reported("preflight", "not-administrator"), "rights"),
    "not root": (reported("preflight", "not-root"), "rights"),
    "the script itself": (reported("", None), "step"),
    "a restart that is pending": (reported("preflight", "reboot-pending"), "reboot"),
    "a code of a host error that a script reports": (reported("path", "winrm-no-answer"), "step"),
    "an error inside another one": (detail(message("bracket-may-be-open", "{reason}, {step}", reason=LOST, step="tls")), "refused"),
    "an error inside another one, as text": ({"code": "bracket-may-be-open", "values": {"reason": "text", "step": "tls"}}, "step"),
    "no code, as in release 0.1.0": ({}, "internal"),
    "a code of a later release": ({"code": "from-the-future", "values": {}}, "internal"),
    "a code that is no text": ({"code": []}, "internal"),
    "a code inside another one that is no text": ({"code": "jump-not-reached", "values": {"reason": {"code": {}}}}, "internal"),
    "an error around itself, again and again": (deep(400), "internal"),
    "values that are none": ({"code": "step-failed", "values": None}, "step"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_kind_of_an_error(name: str) -> None:
    given, kind = REASONS[name]
    assert error_kind.of("failed", given) == kind
    assert error_kind.of("failed", json.loads(json.dumps(given))) == kind


@pytest.mark.parametrize(("outcome", "kind"), [("ok", None), ("differs", None), ("stopped", "stopped"), ("reboot", "reboot")])
def test_the_kind_of_an_outcome(outcome: str, kind: str | None) -> None:
    assert error_kind.of(outcome, {}) == kind
    written = Result("win1", outcome).as_json()
    assert written.get("error_kind") == kind
    validate("summary", {"v": 2, "hosts": {"win1": written}})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LOST, "refused"),
        (AuthenticationError("sudo-not-allowed", "no", host="win1"), "sudo"),
        (ScriptError("bash-missing", "no", host="win1"), "step"),
        (RuntimeError("a bug"), "internal"),
    ],
)
def test_a_result_says_its_kind(error: Exception, kind: str) -> None:
    result = Result("win1")
    result.fail(error)
    assert result.as_json()["error_kind"] == kind
    assert exit_code({"win1": result}) == (1 if kind == "internal" else 3)
    result.outcome = "unreachable"
    assert exit_code({"win1": result}) == (1 if kind == "internal" else 3)
    validate("summary", {"v": 2, "hosts": {"win1": result.as_json()}})
