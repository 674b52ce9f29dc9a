"""What goes wrong with one host, whatever it is, stays in its result: the others, the summary and the journal are whole."""

from __future__ import annotations

import errno
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from nbserver.base.errors import Abandoned, ApprovalError, ConnectError, InventoryError, SecretError, UsageError
from nbserver.commands import render as rendering
from nbserver.commands import run_audit
from nbserver.commands import verify as verification
from nbserver.inventory import reader
from nbserver.run import chain_check, evidence, evidence_log, journal, kept_picture, known_certificates
from nbserver.run.batches import Amount, Policy
from nbserver.run.fleet import for_each
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.run.result import exit_code
from nbserver.verify.checks import Verification
from nbserver.view.plain_lines import PlainLines
from tests import approvals
from tests.formats import validate
from tests.unit.run.test_host_run import ended, event
from tests.unit.run.two_hosts import INVENTORY, PRINT, Hosts, hosts

__all__ = ["hosts"]
DIGITS = "9" * 5000
ENDS: dict[str, Any] = {
    "changed is a text": ended(2, "ok", changed="many"),
    "a lone surrogate": event(2, "failed", "path", text="\ud800"),
    "a lone surrogate, not escaped": '{"v":1,"n":2,"time":"2026-11-22T10:00:00.0000000Z","step":"path","event":"failed","text":"\ud800"}',
    "a huge number": json.dumps(ended(2, "ok")).replace('"changed": 0', f'"changed": {DIGITS}'),
    "infinity": json.dumps(ended(2, "ok")).replace('"changed": 0', '"changed": 1e999'),
    "a huge total": event(2, "progress", "path", what="x", done=10**400, total=10**400, unit="bytes"),
    "a malformed fingerprint": ended(2, "ok", fingerprint="SHA256:zz"),
    "an outcome that nobody knows": ended(2, "pwned", fingerprint=PRINT),
    "a step that is markup": event(2, "failed", "[/nothing]", text="x"),
}


@pytest.mark.parametrize("said", ENDS.values(), ids=ENDS)
def test_what_a_host_says_costs_no_other_host_anything(hosts: Hosts, said: Any) -> None:
    hosts.bad = lambda started: [started, said]
    hosts.check_the_others(hosts.apply(), "the script's output is invalid", 3)
    assert "bad" not in known_certificates.read(hosts.folder / "nbserver.known")
    assert known_certificates.read(hosts.folder / "nbserver.known")["good"].fingerprint == PRINT


def test_an_end_without_a_hash_is_not_remembered(hosts: Hosts) -> None:
    hosts.bad = lambda started: [event(1, "failed", text="x"), ended(2, "ok", fingerprint=PRINT)]
    hosts.check_the_others(hosts.apply(), "got unknown", 3)
    assert list(known_certificates.read(hosts.folder / "nbserver.known")) == ["good"]


def test_a_defect_of_nbserver_costs_no_other_host_anything(hosts: Hosts) -> None:
    hosts.bad = lambda started: [started, event(2, "changed", "path"), ZeroDivisionError("of \x1b[2J\nnbserver")]
    results = hosts.apply()
    hosts.check_the_others(
        results, "bad: internal error (a bug in nbserver): ZeroDivisionError: of \ufffd[2J / nbserver. Report this bug", 1
    )
    assert results["bad"].steps == {"path": "changed"}, "what was done is not lost: a new password is shown for it"
    (log,) = hosts.folder.glob("nbserver-runs/*/bad/log.txt")
    assert "Traceback" in log.read_text() and "ZeroDivisionError" in log.read_text()


def test_ctrl_c_in_a_pager_is_none_in_a_run(hosts: Hosts) -> None:
    """All hosts have ended, and their results are kept."""

    class Paged(PlainLines):
        def summary(self, *given: Any) -> None:
            raise KeyboardInterrupt

    loaded = reader.load(hosts.folder / "nbserver.toml")
    with pytest.raises(Abandoned, match=r"interrupted while nbserver was showing the results\. The run has finished on all hosts"):
        operate("apply", loaded, loaded.select(["all"]), Options(), None, Paged(hosts.shown.append))
    assert list(hosts.folder.glob("nbserver-runs/*/summary.json"))


class Panic(BaseException):
    """What a library in Rust raises where it panics is no Exception."""


def test_a_panic_in_a_library_costs_no_other_host_anything(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(host: Any, *given: Any) -> Any:
        if host.name == "bad":
            raise Panic("called on a None value")
        return Hosts.connect(hosts, host)

    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    hosts.check_the_others(hosts.apply(), "bad: internal error (a bug in nbserver): Panic: called on a None value", 1)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("defect", [RecursionError("deep"), Panic("correct horse")])
def test_a_defect_in_one_verification_costs_no_other_host_anything(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool, defect: BaseException
) -> None:
    def verify(host: Any, **given: Any) -> Verification:
        if host.name == "bad":
            raise defect
        return Verification(host.name, "https://192.0.2.2:9999", PRINT, {}, None, (800, 450), {})

    monkeypatch.setattr("nbserver.verify.checks.verify", verify)
    loaded = reader.load(hosts.folder / "nbserver.toml")
    assert verification.verify_all(loaded, loaded.select(["bad", "good"]), None, lambda question: "correct horse", as_json) == 1
    shown = capsys.readouterr().out
    assert f"bad: internal error (a bug in nbserver): {type(defect).__name__}: " in shown and "correct horse" not in shown
    if as_json:
        assert {name: entry["outcome"] for name, entry in json.loads(shown)["hosts"].items()} == {"bad": "failed", "good": "ok"}
    else:
        assert "good  verified" in shown


def test_a_connection_that_fails_in_no_known_way_costs_no_other_host_anything(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(host: Any, *given: Any) -> Any:
        if host.name == "bad":
            raise RecursionError("deep")
        return Hosts.connect(hosts, host)

    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    hosts.check_the_others(hosts.apply(), "RecursionError: deep", 1)


@pytest.mark.parametrize("failing", ["event", "start", "close"])
def test_a_journal_that_cannot_be_written_costs_no_other_host_anything(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    usual = journal.GrowingFile

    class Full(usual):
        def __init__(self, path: Path, known: bytes | None = b"") -> None:
            self._bad = path.parent.name != "good"
            if self._bad and failing == "start":
                raise OSError(errno.ENOSPC, "No space left on device")
            super().__init__(path, known)

        def write(self, text: str) -> None:
            if self._bad and failing == "event":
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(text)

        def close(self) -> None:
            super().close()
            if self._bad and failing == "close":
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "GrowingFile", Full)
    hosts.check_the_others(hosts.apply(), "could not save the host's events in", 3)


def test_a_certificate_that_cannot_be_remembered_costs_no_other_host_anything(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = known_certificates.atomic_file.write_text

    def write_text(path: Path, text: str, **options: Any) -> None:
        if path.name == known_certificates.FILE_NAME and '"bad"' in text:
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(path, text, **options)

    monkeypatch.setattr(known_certificates.atomic_file, "write_text", write_text)
    results = hosts.apply()
    hosts.check_the_others(results, "could not write the file (No space left on device)", 5)


def test_a_summary_that_cannot_be_written_is_shown_all_the_same(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = journal.atomic_file.write_bytes

    def write_bytes(path: Path, data: bytes, **options: Any) -> None:
        if path.name == "summary.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(path, data, **options)

    monkeypatch.setattr(journal.atomic_file, "write_bytes", write_bytes)
    with pytest.raises(UsageError, match=r"could not write .*summary\.json"):
        hosts.apply()
    assert any(line.startswith("good") and "1 step changed" in line for line in hosts.shown)


def test_a_terminal_that_cannot_show_a_line_ends_no_run(hosts: Hosts) -> None:
    def write(line: str) -> None:
        if line.startswith("bad"):
            raise BrokenPipeError
        hosts.shown.append(line)

    loaded = reader.load(hosts.folder / "nbserver.toml")
    hosts.bad = lambda started: [started, event(2, "changed", "path"), ended(3, "ok")]
    with pytest.raises(BrokenPipeError):  # the summary's
        operate("apply", loaded, loaded.select(["bad", "good"]), Options(), None, PlainLines(write))
    (summary,) = hosts.folder.glob("nbserver-runs/*/summary.json")
    assert {entry["outcome"] for entry in json.loads(summary.read_text())["hosts"].values()} == {"ok"}


def test_a_view_with_a_defect_costs_no_host_anything(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a terminal that was closed, or cannot show a character. A host whose events nobody takes any more would go on unheard."""

    def broken(*given: Any) -> None:
        raise ValueError("I/O operation on closed file.")

    def interrupted(jobs: Any, forks: int, stop: Any, interrupted: Callable[[], None]) -> dict[str, Any]:
        interrupted()
        return for_each(jobs, forks, stop, interrupted)

    monkeypatch.setattr("nbserver.run.fleet.for_each", interrupted)
    for name in ("event", "host_ended", "interrupted", "end"):
        monkeypatch.setattr(PlainLines, name, broken)
    assert {name: (result.outcome, result.error) for name, result in hosts.apply().items()} == {"bad": ("ok", ""), "good": ("ok", "")}
    (summary,) = hosts.folder.glob("nbserver-runs/*/summary.json")
    assert {entry["outcome"] for entry in json.loads(summary.read_text())["hosts"].values()} == {"ok"}


def test_the_time_of_a_run_reaches_what_talks_to_the_host(hosts: Hosts) -> None:
    hosts.apply()
    assert len(hosts.transports) == 2 and all(0 < transport.deadline < math.inf for transport in hosts.transports)


def test_exit_codes_have_an_order() -> None:
    from nbserver.run.result import Result

    def result(outcome: str, code: int = 3) -> Any:
        return Result("x", outcome=outcome, code=code)

    found = {"a": result("ok"), "b": result("differs")}
    assert exit_code(found) == 4
    for code in (3, 5, 2, 1):
        found[str(code)] = result("failed", code)
        assert exit_code(found) == code
    for outcome in ("stopped", "reboot", "unheard"):
        assert exit_code({"a": result(outcome)}) == 3


def test_the_evidence_of_a_run(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ran what, when, with which inventory and approval; and a hash only of what was sent."""

    def connect(host: Any, *given: Any) -> Any:
        if host.name == "bad":
            raise ConnectError("winrm-no-answer", "bad did not answer", host="bad")
        return Hosts.connect(hosts, host)

    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    loaded = reader.load(hosts.folder / "nbserver.toml")
    selected = loaded.select(["bad", "good"])
    rendering.write(rendering.files(selected), hosts.folder / "approved")
    approved = hosts.folder / "approved" / "manifest.json"
    before = evidence.now()
    key = approvals.key(hosts.folder / "key")
    options = Options(approved=approved, command=("apply", "bad", "good", "--approved", "approved/manifest.json"), evidence_key=key)
    operate("apply", loaded, selected, options, None, PlainLines(hosts.shown.append))
    (run,) = (hosts.folder / "nbserver-runs").iterdir()
    head = json.loads((run / "run.json").read_text())
    validate("run", head)
    assert before < head["start"] <= head["end"] < evidence.now()
    assert (head["hosts"], head["command"]) == (["bad", "good"], list(options.command))
    inventory = hosts.folder / "nbserver.toml"
    assert head["inventory"] == {"file": str(inventory), "sha256": evidence.sha256(inventory.read_bytes())}
    assert head["approved"] == {"manifest": str(approved), "sha256": evidence.sha256(approved.read_bytes())}
    assert [(run / name / "script.sha256").exists() for name in ("bad", "good")] == [False, True]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z  -  .* bad: bad did not answer", (run / "bad" / "log.txt").read_text())
    summary = json.loads((run / "summary.json").read_text())
    validate("summary", summary)
    assert all(entry["seconds"] >= 0 for entry in summary["hosts"].values())
    assert any(re.match(r"good  ok  1 step changed, \d+\.\d s$", click.unstyle(line)) for line in hosts.shown)

    log = evidence_log.read(evidence_log.default_path(), run.name)
    checked = chain_check.check(run, [entry.head for entry in log])
    assert [entry.head.n for entry in log] == [5, len(checked.links)] and checked.signed and checked.signed.n == len(checked.links)
    (evidence_line,) = [line for line in hosts.transports[-1].envelopes[0] if line.startswith("evidence ")]
    sent = checked.links[checked.hashes.index(evidence_line.removeprefix("evidence "))]
    assert sent.file == "good/envelope.txt" and "bad/envelope.txt" not in {link.file for link in checked.links}
    picture = hosts.folder / "good.png"
    picture.write_bytes(b"picture")
    assert not kept_picture.keep(run / "good", picture, "me")
    log = evidence_log.read(evidence_log.default_path(), run.name)
    assert chain_check.check(run, [entry.head for entry in log]).links[-1].file == "good/verified.png"
    assert json.loads((run / "run.json").read_text("utf-8"))["evidence_key"] == checked.signed.key.fingerprint
    run_audit.audit(str(run), None, None, (), None)
    (run / "chain.jsonl.sig").unlink()
    with pytest.raises(ApprovalError, match=r"chain\.jsonl\.sig is missing"):
        run_audit.audit(str(run), None, None, (), None)

    contacted = len(hosts.transports)
    with pytest.raises(SecretError, match="neither a private key nor a public key"):
        operate("undo", loaded, selected, Options(evidence_key=picture), None, PlainLines(hosts.shown.append))
    assert len(hosts.transports) == contacted
    operate("undo", loaded, selected, Options(), None, PlainLines(hosts.shown.append))
    head = json.loads((max((hosts.folder / "nbserver-runs").iterdir(), key=lambda path: path.stat().st_mtime_ns) / "run.json").read_text())
    assert head["approved"] is None and head["mode"] == "undo"


@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_kerberos_that_this_workstation_lacks_is_refused_before_any_host_is_contacted(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    monkeypatch.setattr("winrm.transport.HAVE_KERBEROS", False)
    text = INVENTORY.replace("[hosts.bad]", f'auth = "kerberos"\ntransport = "{transport}"\n[hosts.bad]')
    (hosts.folder / "nbserver.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        hosts.apply("test")
    assert str(caught.value).startswith('bad: auth = "kerberos" requires') and 'pip install "nbserver[kerberos]"' in str(caught.value)
    assert not hosts.transports and not (hosts.folder / "nbserver-runs").exists()


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy(canary=("b*",)), "not-begun-after-canary"),
        (Policy(canary=("1",)), "not-begun-after-canary"),
        (Policy(serial=Amount(1), max_failures=Amount(0)), "not-begun-after-failures"),
        (Policy(serial=Amount(50, True), max_failures=Amount(49, True)), "not-begun-after-failures"),
        (Policy(serial=Amount(1), max_failures=Amount(50, True)), None),
        (Policy(canary=("good",)), None),
    ],
)
def test_a_policy_decides_which_hosts_begin(hosts: Hosts, policy: Policy, code: str | None) -> None:
    hosts.bad = lambda started: [started, event(2, "failed", "path", text="no"), ended(3, "failed")]
    results = hosts.apply(options=Options(policy=policy))
    assert list(results) == ["bad", "good"] and results["bad"].error_kind == "step" and exit_code(results) == 3
    assert results["good"].outcome == ("stopped" if code else "ok") and results["good"].detail.get("code") == code
    assert len(hosts.transports) == (1 if code else 2)
    (summary,) = hosts.folder.glob("nbserver-runs/*/summary.json")
    entry = json.loads(summary.read_text())["hosts"]["good"]
    validate("summary", json.loads(summary.read_text()))
    assert (entry.get("error_kind"), "seconds" in entry) == (("stopped", False) if code else (None, True))


def test_a_canary_that_is_not_selected_is_refused_before_any_host(hosts: Hosts) -> None:
    with pytest.raises(InventoryError, match='no host or group matches "other"'):
        hosts.apply(options=Options(policy=Policy(canary=("other",))))
    assert not hosts.transports and not list(hosts.folder.glob("nbserver-runs/*"))
