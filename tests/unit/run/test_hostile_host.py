"""A host that answers as it likes. Whatever it says, only its own result suffers, and nothing counts that was not earned."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import AuthenticationError, CertificateError, HostKeyError
from nbserver.catalog import reader
from nbserver.render.script import Script
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_host import render
from nbserver.run import host_run
from nbserver.run.journal import Journal
from nbserver.run.result import Result
from tests.formats import validate
from tests.tier import examples
from tests.unit.run.test_host_run import FINISHED, HOST, LOST, Told, begun, ended, event, run, script  # noqa: F401

Run = Callable[..., tuple[Result, Told]]
PRINT = "SHA256:" + "0" * 64
FAILED = event(1, "failed", text="PowerShell runs in ConstrainedLanguage mode here")
OK = ended(2, "ok", fingerprint=PRINT)


def test_only_known_outcomes_that_were_asked_for_count(run: Run, script: Script) -> None:
    for outcome in ("pwned", "waiting", "differs", "running", "", None, ["ok"], {"ok": 1}, 1, True):
        result, _ = run([begun(script), {**OK, "outcome": outcome}])
        assert (result.outcome, result.fingerprint) == ("failed", ""), outcome
        assert "the script's output is invalid" in result.error
    result, _ = run([ended(1, "waiting")])
    assert result.outcome == "failed" and "not requested" in result.error


@pytest.mark.parametrize(
    "said",
    [
        [FAILED, OK],
        [FAILED, ended(2, "reboot")],
        [FAILED, ended(2, "waiting")],
        [FAILED, event(2, "changed", "path"), ended(3, "failed", changed=7, fingerprint=PRINT)],
        [
            FAILED,
            event(2, "request", "certificate", csr="-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"),
            ended(3, "ok"),
        ],
        [FAILED, ended(2, "failed", changed=7, reboot=True, fingerprint=PRINT), OK],
        [event(1, "started", "path", title="x"), OK],
        [ended(1, "failed"), OK],
    ],
)
@pytest.mark.parametrize("mode", ["apply", "test", "request"])
def test_nothing_counts_before_the_hash(run: Run, said: list[Any], mode: str) -> None:
    result, _ = run(said, mode=mode)
    assert (result.outcome, result.changed, result.fingerprint, result.csr, result.steps, result.reboot) == ("failed", 0, "", "", {}, False)


def test_a_hash_that_comes_later_is_too_late(run: Run, script: Script) -> None:
    result, _ = run([FAILED, {**begun(script), "n": 2}, {**OK, "n": 3}])
    assert result.outcome == "failed" and "started a second time" in result.error


@pytest.mark.parametrize("changes", [{"run": "run-0"}, {"mode": "test"}, {"host": "win2"}])
def test_another_run_is_not_this_one(run: Run, script: Script, changes: dict[str, str]) -> None:
    result, _ = run([begun(script, **changes), OK])
    assert result.outcome == "failed" and "a different run, mode, or host" in result.error


def test_what_failed_does_not_end_well(run: Run, script: Script) -> None:
    result, _ = run([begun(script), event(2, "failed", "path", text="no"), {**OK, "n": 3}])
    assert (result.outcome, result.fingerprint) == ("failed", "")


def test_nothing_counts_behind_the_end(run: Run, script: Script) -> None:
    after = [
        event(3, "failed", "path", text="no"),
        "no JSON",
        ended(4, "failed"),
        ended(3, "ok", changed=9, fingerprint="SHA256:" + "1" * 64),
    ]
    result, transport = run([begun(script), OK, *after])
    assert (result.outcome, result.changed, result.fingerprint, result.error, result.steps) == ("ok", 0, PRINT, "", {})
    assert transport.deadline < threading.TIMEOUT_MAX


def test_what_is_asked_for_again_is_believed_no_more_than_the_first_time(run: Run, script: Script) -> None:
    other = {**begun(script), "script_sha256": "0" * 64}
    for first in ([begun(script), LOST], [LOST]):
        result, _ = run(first, [ended(2 if len(first) > 1 else 1, "waiting")])
        assert result.outcome == "failed" and "invalid" in result.error
        result, _ = run(first, ["no JSON"])
        assert result.outcome == "failed" and "invalid" in result.error
    result, transport = run([LOST], [other, OK])
    assert result.outcome == "failed" and "got 0000" in result.error and not transport.connections
    result, _ = run([begun(script), LOST], [begun(script), other, OK])
    assert result.outcome == "ok", "an event that was here before is left out"


@pytest.mark.parametrize(
    "error", [HostKeyError("another-key", "another key", host="win1"), CertificateError("another-certificate", "another one", host="win1")]
)
def test_another_host_at_the_same_address_is_not_asked_again(run: Run, script: Script, error: Exception) -> None:
    result, _ = run([begun(script), LOST], [error], [OK])
    assert result.outcome == "failed" and "another" in result.error


def test_a_host_that_refuses_for_a_moment_is_asked_again(run: Run, script: Script) -> None:
    result, _ = run([begun(script), LOST], [AuthenticationError("not-now", "not now", host="win1")], [OK])
    assert result.outcome == "ok"


# ---- restarts: each leg is a run of its own


@pytest.fixture
def restarting(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(host_run, "REJOIN_PAUSES", (0.0,))
    monkeypatch.setattr(host_run, "RESTART_PAUSE", 0.0)
    windows = HOST.model_copy(update={"reboot": "if-needed"})

    def execute(*connections: Any) -> tuple[Result, Told]:
        transport, part = Told(*connections), Journal(tmp_path, "run-1", "apply", "me").host(script)
        try:
            ran = host_run.HostRun(windows, script, "apply", "run-1", part, lambda name, event: None)
            return ran.execute(transport, "me", {}, threading.Event()), transport
        finally:
            part.close()

    return execute


BOOT = "2026-11-20T06:01:44Z"
DOWN = ended(2, "reboot", reboot=True, restarting=True)


def test_each_leg_needs_its_own_hash(restarting: Run, script: Script) -> None:
    result, transport = restarting([begun(script, boot=BOOT), DOWN], [ended(1, "waiting")], [begun(script, run="run-1-2"), OK])
    assert result.outcome == "ok" and f"boot-before {BOOT}" in transport.envelopes[2]


@pytest.mark.parametrize("second", [[OK], [{**OK, "n": 1}], [FAILED, OK]])
def test_a_leg_without_a_hash_does_not_count(restarting: Run, script: Script, second: list[Any]) -> None:
    result, _ = restarting([begun(script, boot=BOOT), DOWN], second, [], [])
    assert (result.outcome, result.fingerprint) == ("failed", "")


def test_a_leg_is_not_the_one_before(restarting: Run, script: Script) -> None:
    result, _ = restarting([begun(script, boot=BOOT), DOWN], [begun(script), OK])
    assert result.outcome == "failed" and "a different run" in result.error


def test_a_host_does_not_restart_for_ever(restarting: Run, script: Script) -> None:
    again = [[begun(script, boot=BOOT, run=f"run-1-{leg}"), DOWN] for leg in range(2, 9)]
    result, transport = restarting([begun(script, boot=BOOT), DOWN], *again)
    assert result.outcome == "failed" and len(transport.envelopes) == 4, "the last leg may not restart Windows any more"


def test_why_a_host_does_not_restart_is_not_hidden_by_its_own_log(restarting: Run, script: Script) -> None:
    why = event(2, "warning", text="somebody is logged on")
    log = event(3, "warning", code="host-log-not-written", values={"error": "no"}, text="could not write to the Windows event log: no")
    result, _ = restarting([begun(script), why, log, ended(4, "reboot", reboot=True)])
    assert (result.outcome, result.error) == ("reboot", "win1: the run is not finished: somebody is logged on")


def test_a_boot_time_is_no_way_into_the_envelope(restarting: Run, script: Script) -> None:
    result, _ = restarting([begun(script, boot="now\nsecret x AAAA"), DOWN])
    assert result.outcome == "failed" and "invalid" in result.error


# ---- whatever else


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["ok", "failed", "stopped", "reboot", "waiting", "path", "", PRINT, "\ud800", "x\x1b[2J\n", 10**400, BOOT]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["started", "difference", "progress", "changed", "unchanged", "restored", "warning", "failed", "finished", "log", "request"]
)
FIELDS = [
    "v",
    "n",
    "step",
    "event",
    "outcome",
    "changed",
    "differs",
    "reboot",
    "restarting",
    "fingerprint",
    "text",
    "boot",
    "script_sha256",
    "csr",
    "x",
]


@st.composite
def lines(draw: Any, sha256: str) -> Any:
    n = draw(st.integers(1, 4))
    said = draw(
        st.sampled_from(
            [
                event(
                    n, "started", run="run-1", mode="apply", operator="me", release="0.1.0", host="win1", script_sha256=sha256, boot=BOOT
                ),
                event(n, "failed", draw(st.sampled_from(["", "path"])), text="no\x1b[2J\u202e"),
                event(n, "changed", "path"),
                event(n, "warning", text="x\ny"),
                ended(n, draw(st.sampled_from(["ok", "failed", "stopped", "reboot", "waiting"])), fingerprint=PRINT),
            ]
        )
    )
    changes = draw(st.just({}) | st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2))
    return draw(st.just({**said, **changes}) | st.text(st.characters(exclude_categories=()), max_size=20) | st.just(LOST))


@functools.cache
def small() -> Script:
    return replace(render(HOST, reader.load(), SiteLocks()), parts=("# nothing that runs\n",))


@examples(60)
@given(st.data())
def test_no_answer_is_believed_without_its_hash_and_a_valid_end(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    script = small()
    said = data.draw(st.lists(st.lists(lines(script.sha256), max_size=5), min_size=3, max_size=3))
    folder = tmp_path_factory.mktemp("run")
    part, shown = Journal(folder, "run-1", "apply", "me").host(script), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_run, "REJOIN_PAUSES", (0.0,))
        result = host_run.HostRun(HOST, script, "apply", "run-1", part, lambda name, event: shown.append(event)).execute(
            Told(*said), "me", {}, threading.Event()
        )
    part.close()
    validate("summary", {"v": 1, "hosts": {"win1": result.as_json()}})
    assert result.code == 3, result.error
    assert result.error.isprintable()
    kept = (folder / "run-1" / "win1" / "events.jsonl").read_text("ascii").splitlines()
    assert kept[: len(shown)] == [heard.line for heard in shown]
    for line in kept:
        validate("event", json.loads(line))
    if result.outcome in ("ok", "reboot") or result.fingerprint:
        first, last = json.loads(kept[0]), json.loads(kept[-1])
        assert (first["event"], first["n"], first["script_sha256"]) == ("started", 1, script.sha256)
        assert last["event"] == "finished"
        assert [json.loads(line)["n"] for line in kept] == list(range(1, len(kept) + 1))
    log = (folder / "run-1" / "win1" / "log.txt").read_text("utf-8")
    assert log.replace("\n", "").isprintable()
