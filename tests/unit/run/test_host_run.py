"""What one host's run makes of what its script says. The script's side is told line by line here; the real one is in
stories/test_windows.py."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ConnectError, HostError
from nbserver.catalog import reader as catalog
from nbserver.events.reader import Event, parse
from nbserver.inventory import reader
from nbserver.inventory.ssh_server import SshServer
from nbserver.render.script import Script
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_host import render
from nbserver.run import host_run
from nbserver.run.journal import Journal
from nbserver.run.result import Result
from nbserver.transports.ssh.jump_errors import of_hop
from nbserver.transports.transport import StopRequested
from tests.checkout import CHECKOUT

SAMPLE = CHECKOUT / "nbserver.sample.toml"
HOST = reader.load(SAMPLE).hosts["win1"]


class Told:
    """A transport whose connections each say their lines; an exception among them is raised."""

    def __init__(self, *connections: Sequence[dict[str, Any] | str | Exception]) -> None:
        self.connections = list(connections)
        self.envelopes: list[list[str]] = []
        self.deadline = math.inf

    def __call__(self) -> Told:
        return self

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        self.envelopes.append(list(envelope))
        for said in self.connections.pop(0):
            if isinstance(said, Exception):
                raise said
            yield said if isinstance(said, str) else json.dumps(said)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def script() -> Script:
    return render(HOST, catalog.load(), SiteLocks())


@pytest.fixture
def run(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Result, Told]]:
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.0, 0.0))

    folders = itertools.chain([tmp_path], (tmp_path / str(number) for number in itertools.count(2)))

    def execute(*connections: Sequence[dict[str, Any] | str | Exception], mode: Any = "apply") -> tuple[Result, Told]:
        transport = Told(*connections)
        part = Journal(next(folders), "run-1", mode, "me").host(script)
        try:
            hosts_run = host_run.HostRun(HOST, script, mode, "run-1", part, lambda name, event: None)
            return hosts_run.execute(transport, "me", {"notebook.password_hash": "argon2:x"}, threading.Event()), transport
        finally:
            part.close()

    return execute


def event(n: int, name: str, step: str = "", **data: Any) -> dict[str, Any]:
    return {"v": 1, "n": n, "time": "2026-11-22T10:00:00.0000000Z", "step": step, "event": name, **data}


def begun(script: Script, mode: str = "apply", **changes: Any) -> dict[str, Any]:
    return event(
        1,
        "started",
        **{"run": "run-1", "mode": mode, "operator": "me", "release": "0.1.0", "host": "win1", "script_sha256": script.sha256, **changes},
    )


def ended(n: int, outcome: str, **changes: Any) -> dict[str, Any]:
    return event(n, "finished", **{"outcome": outcome, "differs": False, "changed": 0, "reboot": False, "fingerprint": "", **changes})


@pytest.fixture
def started(script: Script) -> dict[str, Any]:
    return begun(script)


LOST = ConnectError("connection-lost", "the connection to win1 was lost", host="win1")
FINISHED = ended(3, "ok", differs=True, changed=1, fingerprint="SHA256:" + "0" * 64)


def test_a_whole_run(run: Any, started: dict[str, Any]) -> None:
    result, transport = run([started, event(2, "changed", "path"), FINISHED])
    assert (result.outcome, result.changed, result.steps) == ("ok", 1, {"path": "changed"})
    assert transport.envelopes[0][:2] == ["mode apply", "run run-1"]


def test_plan_with_differences_is_no_failure(run: Any, started: dict[str, Any]) -> None:
    difference = event(2, "difference", "path", what="PATH", **{"is": None, "should": "C:\\x"})
    result, _ = run([{**started, "mode": "test"}, difference, FINISHED], mode="test")
    assert (result.outcome, result.steps) == ("differs", {"path": "differs"})


def test_another_script_than_the_one_sent_is_a_failure(run: Any, started: dict[str, Any]) -> None:
    result, _ = run([{**started, "script_sha256": "0" * 64}, FINISHED])
    assert result.outcome == "failed" and "the host ran a different script: " in result.error and "got " + "0" * 64 in result.error


def test_a_script_that_fails_before_it_can_hash_itself_tells_its_own_reason(run: Any) -> None:
    result, _ = run([event(1, "failed", text="PowerShell runs in ConstrainedLanguage mode here"), ended(2, "failed")])
    assert (result.outcome, result.error) == ("failed", "win1, script: PowerShell runs in ConstrainedLanguage mode here")
    assert result.detail == {
        "code": "script-failed",
        "values": {"name": "win1", "reason": "PowerShell runs in ConstrainedLanguage mode here"},
    }


def test_the_code_of_a_failed_step_is_kept_and_its_text_is_no_template(
    run: Any, started: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_code(line: str) -> Event:
        found = parse(line)
        return replace(found, data={**found.data, "code": "port-taken", "values": {"port": 9999}}) if found.event == "failed" else found

    monkeypatch.setattr("nbserver.run.leg.parse", with_code)
    result, _ = run([started, event(2, "failed", "preflight", text="TCP port {port} is \x1b[1mtaken"), ended(3, "failed")])
    assert result.error == "win1, preflight: TCP port {port} is taken"
    reason = {"text": "TCP port {port} is taken", "code": "port-taken", "values": {"port": 9999}}
    assert result.detail == {"code": "step-failed", "values": {"name": "win1", "step": "preflight", "reason": reason}}


@pytest.mark.parametrize("first", [event(1, "changed", "path"), event(1, "log", text="x"), ended(1, "ok")])
def test_a_script_that_does_not_say_its_hash_first_is_a_failure(run: Any, first: dict[str, Any]) -> None:
    result, _ = run([first, FINISHED])
    assert result.outcome == "failed" and "got unknown" in result.error


@pytest.mark.parametrize("said", ["no JSON", "[1]", json.dumps({"v": 9}), json.dumps(event(2, "unheard-of"))])
def test_a_broken_stream_is_a_failure(run: Any, started: dict[str, Any], said: str) -> None:
    result, _ = run([started, said])
    assert result.outcome == "failed" and "the script's output is invalid" in result.error


def test_lost_events_are_asked_for_when_the_script_has_ended(run: Any, started: dict[str, Any]) -> None:
    result, transport = run([started, FINISHED], [event(2, "changed", "path"), FINISHED])
    assert (result.outcome, result.steps) == ("ok", {"path": "changed"})
    assert transport.envelopes[1] == ["mode events", "run run-1", "after 1"]


def test_a_gap_in_the_record_itself_is_a_failure(run: Any, started: dict[str, Any]) -> None:
    assert "some events of this run were lost" in run([started, FINISHED], [FINISHED])[0].error


def test_a_gap_in_a_plan_is_a_failure(run: Any, started: dict[str, Any]) -> None:
    assert "events 2 to 2 are missing" in run([{**started, "mode": "test"}, FINISHED], mode="test")[0].error


def test_a_script_that_ends_without_a_word_is_a_failure(run: Any, started: dict[str, Any]) -> None:
    result, _ = run([started], [])
    assert result.outcome == "failed" and "without reporting a result" in result.error


def test_after_a_lost_connection_the_rest_is_asked_for_and_no_event_counts_twice(run: Any, started: dict[str, Any], tmp_path: Path) -> None:
    result, transport = run([started, LOST], [LOST], [started, event(2, "changed", "path"), FINISHED])
    assert (result.outcome, result.changed) == ("ok", 1)
    assert [lines[:3] for lines in transport.envelopes[1:]] == [["mode events", "run run-1", "after 1"]] * 2
    kept = [json.loads(line)["n"] for line in (tmp_path / "run-1" / "win1" / "events.jsonl").read_text().splitlines()]
    assert kept == [1, 2, 3]


def test_a_host_that_stays_away_is_a_failure_that_names_the_first_reason(run: Any, started: dict[str, Any]) -> None:
    result, _ = run([started, LOST], [ConnectError("nothing-listens", "nothing listens there", host="win1")], [LOST])
    assert result.outcome == "failed" and "the connection to win1 was lost" in result.error
    assert "the script may still be running on the host" in result.error and "nbserver events run-1 win1" in result.error
    assert result.changed is None and result.as_json()["changed"] is None


def test_changes_are_unknown_only_if_the_script_may_have_made_some(run: Any, started: dict[str, Any]) -> None:
    assert run([started, event(2, "changed", "path"), "no JSON"])[0].changed is None
    for said, mode in (([started | {"mode": "test"}, LOST], "test"), ([event(1, "failed", text="x"), ended(2, "failed")], "apply")):
        result, _ = run(said, mode=mode)
        assert result.changed == 0 and "may still be running" not in result.error


def test_how_to_follow_the_run_that_is_in_the_way(run: Any, started: dict[str, Any]) -> None:
    owner = "run 20261122T171033Z-7ab115, mode apply, by 'anna@desk', process 12"
    refused = event(2, "failed", code="run-in-progress", values={"owner": owner}, text=f"another run is changing this host: {owner}")
    result, _ = run([started, refused, ended(3, "failed")])
    assert "another run is changing this host" in result.error
    assert result.error.endswith("To follow that run, run nbserver events 20261122T171033Z-7ab115 win1")
    nasty = {**refused, "values": {"owner": "run $(reboot), mode apply"}}
    assert "reboot" not in run([started, nasty, ended(3, "failed")])[0].error


def test_a_plan_is_not_joined_again(run: Any, started: dict[str, Any]) -> None:
    result, transport = run([{**started, "mode": "test"}, LOST], mode="test")
    assert result.outcome == "failed" and len(transport.envelopes) == 1


def test_what_a_stopped_run_did_at_its_end_is_fetched(run: Any, started: dict[str, Any]) -> None:
    stopped = ended(3, "stopped")
    result, transport = run([started, StopRequested()], [event(2, "restored", "ie_esc", kind="registry", what="x"), stopped])
    assert result.outcome == "stopped" and result.steps == {"ie_esc": "restored"}
    assert transport.envelopes[1] == ["mode events", "run run-1", "after 1"]


def test_secrets_go_into_the_first_envelope_only(run: Any, started: dict[str, Any]) -> None:
    _, transport = run([started, LOST], [started, event(2, "changed", "path"), FINISHED])
    assert [any(line.startswith("secret ") for line in lines) for lines in transport.envelopes] == [True, False]


@pytest.mark.parametrize(
    ("step", "last", "is_open"), [("ie_esc", "changed", True), ("ie_esc", "restored", False), ("path", "changed", False)]
)
def test_a_failure_names_the_temporary_change_that_may_be_left(
    run: Any, started: dict[str, Any], step: str, last: str, is_open: bool
) -> None:
    more = {"kind": "registry", "what": "x"} if last == "restored" else {}
    result, _ = run([started, event(2, last, step, **more), LOST], [LOST], [LOST])
    assert result.outcome == "failed" and result.error.startswith("win1: the connection was lost during the run")
    assert ("The temporary change made by the step ie_esc may still be in effect" in result.error) == is_open
    assert result.detail["code"] == ("bracket-may-be-open" if is_open else "connection-lost-in-run")


@pytest.mark.parametrize(("retries", "errors", "outcome"), [(0, 1, "unreachable"), (2, 2, "ok"), (2, 3, "unreachable"), (5, 5, "ok")])
def test_connect_retries_counts_for_every_error_while_connecting(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, Any], retries: int, errors: int, outcome: str
) -> None:
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.0))
    transport, left = Told([started, event(2, "changed", "path"), FINISHED]), [errors]

    def connect() -> Told:
        if left[0]:
            left[0] -= 1
            raise ConnectError("winrm-nothing-listening", "nothing is listening", host="win1")
        return transport

    part = Journal(tmp_path, "run-1", "apply", "me").host(script)
    host = HOST.model_copy(update={"connect_retries": retries})
    result = host_run.HostRun(host, script, "apply", "run-1", part, lambda name, event: None).execute(connect, "me", {}, threading.Event())
    part.close()
    assert (result.outcome, left[0]) == (outcome, max(0, errors - retries - 1))


def test_connecting_is_tried_again_only_for_what_can_pass(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, Any]
) -> None:
    monkeypatch.setattr(host_run, "CONNECT_PAUSES", (0.0, 0.0))
    busy = ConnectError("winrm-unavailable", "it is busy", host="win1")
    refused = ConnectError("winrm-nothing-listening", "nothing is listening", host="win1")
    bastion = SshServer("bastion", "192.0.2.1", "anna")
    cut_there = of_hop(ConnectError("connection-lost", "the connection was lost", host="bastion"), "win1", bastion)
    refused_there = of_hop(ConnectError("ssh-nothing-listening", "nothing is listening", host="bastion"), "win1", bastion)
    for number, (errors, outcome, left) in enumerate(
        [
            ([busy, LOST], "ok", 0),
            ([busy, busy, LOST], "unreachable", 0),
            ([cut_there, LOST], "ok", 0),
            ([refused_there, busy], "unreachable", 1),
            ([refused, busy], "unreachable", 1),
            ([busy, refused], "unreachable", 0),
        ]
    ):
        transport = Told([started, event(2, "changed", "path"), FINISHED])

        def connect(errors: list[HostError] = errors, transport: Told = transport) -> Told:
            if errors:
                raise errors.pop(0)
            return transport

        part = Journal(tmp_path / str(number), "run-1", "apply", "me").host(script)
        result = host_run.HostRun(HOST, script, "apply", "run-1", part, lambda name, event: None).execute(
            connect, "me", {}, threading.Event()
        )
        part.close()
        assert (result.outcome, len(errors)) == (outcome, left)
        assert result.changed == (1 if outcome == "ok" else 0), "nothing has run on a host that was never reached"


def test_a_plan_without_an_event_is_sent_again_once(run: Any, started: dict[str, Any]) -> None:
    plan = {**started, "mode": "test"}
    result, transport = run([LOST], [plan, ended(2, "ok")], mode="test")
    assert result.outcome == "ok" and [lines[0] for lines in transport.envelopes] == ["mode test"] * 2
    assert run([LOST], [LOST], mode="test")[0].outcome == "failed"
