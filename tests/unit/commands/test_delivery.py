"""Hosts get what they lack before an apply: what is asked, sent, sent again, and reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbserver import __version__
from nbserver.base.errors import ApprovalError, ScriptError
from nbserver.base.message import Reported, message
from nbserver.bundle import contents
from nbserver.bundle.contents import File
from nbserver.bundle.host_files import HostFiles
from nbserver.catalog import mirror
from nbserver.commands import delivery
from nbserver.inventory import reader
from nbserver.run import operation
from nbserver.run.batches import Policy
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.run.transfer import HostFile
from tests.formats import validate

DATA = {"a-1.0-py3-none-any.whl": b"a" * 2_500_000, "b-1.0-py3-none-any.whl": b"b" * 1000}
HOST = 'system = "linux"\naddress = "192.0.2.7"\nuser = "admin"\nnotebook.password = { env = "N" }\n'
PUSH = 'downloads.source = "push"\ndownloads.bundle = "bundle"\n'


class Hosts:
    """Hosts that answer without any network. `has` are the bytes that each has of each file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.has, self.runs = folder, dict[str, dict[str, bytes]](), list[tuple[str, list[str]]]()
        self.before: Callable[[str], Result | None] = lambda host: None
        self.after: Callable[[str], Result | None] = lambda host: None
        self.limit = 10**9  # bytes of a delivery that arrive
        self.policies: list[Policy] = []
        self.undelivered: list[str] = []
        self.interrupted = ""  # the mode in which Ctrl-C is pressed

    def operate(
        self, mode: str, inventory: Any, hosts: Sequence[Any], options: Options, ask: Any, view: Any, past: Any = None, stop: Any = None
    ) -> dict[str, Result]:
        if mode == self.interrupted:
            stop.set()
        self.runs.append((mode, [host.name for host in hosts]))
        self.policies.append(options.policy)
        self.undelivered = sorted(options.undelivered)
        results = {host.name: self.of(mode, host.name, options) for host in hosts}
        view.summary(mode, results, self.folder)
        return results

    def of(self, mode: str, host: str, options: Options) -> Result:
        has = self.has.setdefault(host, {})
        if mode not in ("missing", "deliver"):
            return options.undelivered.get(host) or Result(host, outcome="ok")
        given = options.transfers[host]
        if mode == "missing":
            return self.before(host) or Result(host, outcome="ok", files=[self.state(has, part) for part in given.parts])
        if after := self.after(host):
            return after
        left = self.limit
        result = Result(host, outcome="ok", changed=1)
        sent = b"".join(given.payload(host).blocks())  # type: ignore[union-attr]
        for part in given.parts:
            assert len(has.get(part.path, b"")) == part.offset
            piece, sent = sent[: part.length], sent[part.length :]
            has[part.path] = has.get(part.path, b"") + piece[: max(left, 0)]
            left -= part.length
            result.files.append(HostFile(part.path, part.size, part.sha256, "stored" if len(has[part.path]) == part.size else "incomplete"))
        if left < 0:
            reason = Reported("delivery-cut-off", "the connection was lost", {})
            result.fail(ScriptError.of(message("script-failed", "{name}: {reason}", name=host, reason=reason), host=host))
        return result

    @staticmethod
    def state(has: dict[str, bytes], part: Any) -> HostFile:
        size = len(has.get(part.path, b""))
        return HostFile(part.path, size, "", "present" if size == part.size else "partial" if size else "absent")


SUMMARY = '{"event": "summary"}'


class View:
    def __init__(self) -> None:
        self.shown: dict[str, Result] = {}
        self.progress: list[Any] = []

    def event(self, host: str, event: Any) -> None:
        self.progress.append(event.data)

    def summary(self, mode: str, results: dict[str, Result], folder: Path) -> None:
        self.shown = dict(results)
        print(SUMMARY)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    bundle = tmp_path / "bundle"
    files = []
    for name, data in DATA.items():
        one = File("wheel", name[0], "1.0", name, hashlib.sha256(data).hexdigest(), len(data), f"https://example.com/{name}")
        (bundle / one.path).parent.mkdir(parents=True)
        (bundle / one.path).write_bytes(data)
        files.append(one)
    (bundle / contents.FILE_NAME).write_text(contents.to_text(files, __version__))
    (bundle / mirror.PAGE).write_text(contents.page(files))
    (tmp_path / "nbserver.toml").write_text(f"[hosts.direct]\n{HOST}" + "".join(f"[hosts.{name}]\n{HOST}{PUSH}" for name in ("one", "two")))
    found = Hosts(tmp_path)
    monkeypatch.setattr(operation, "operate", found.operate)
    monkeypatch.setattr(delivery, "largest", lambda host: 1_000_000)
    monkeypatch.setattr(HostFiles, "of", lambda self, script, bundle: tuple(files))
    return found


def operate(hosts: Hosts, mode: Any = "apply", options: Options | None = None, **given: Any) -> tuple[dict[str, Result], View]:
    loaded, view = reader.load(hosts.folder / "nbserver.toml"), View()
    results = delivery.operate(mode, loaded, list(loaded.hosts.values()), options or Options(), None, view, **given)  # type: ignore[arg-type]
    assert view.shown == results
    return results, view


def test_only_what_a_host_lacks_is_sent_in_batches_before_apply(hosts: Hosts) -> None:
    hosts.has["two"] = {"a-1.0-py3-none-any.whl": DATA["a-1.0-py3-none-any.whl"][:2_000_000]}
    results, view = operate(hosts)
    assert hosts.runs == [
        ("missing", ["one", "two"]),
        ("deliver", ["one", "two"]),
        ("deliver", ["one"]),
        ("deliver", ["one"]),
        ("apply", ["direct", "one", "two"]),
    ]
    assert hosts.has["one"] == hosts.has["two"] == DATA and {result.outcome for result in results.values()} == {"ok"}
    assert view.progress and all(each["total"] in (2_501_000, 501_000) for each in view.progress)
    operate(hosts)
    assert [mode for mode, _ in hosts.runs[5:]] == ["missing", "apply"]


def test_a_plan_says_what_would_be_sent(hosts: Hosts, capsys: pytest.CaptureFixture[str]) -> None:
    hosts.has["two"] = dict(DATA)
    operate(hosts, "test", as_json=True)
    *said, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert last == {"event": "summary"}, "the last line is for those who read only that"
    assert [(each["host"], each["files"], each["bytes"]) for each in said] == [("one", 2, 2_501_000), ("two", 0, 0)]
    for each in said:
        validate("stream", each)
    operate(hosts, "test")
    assert capsys.readouterr().out == f"{SUMMARY}\none  apply would send 2 files, 2.5 MB\n"
    operate(hosts, "test", quiet=True)
    assert capsys.readouterr().out == f"{SUMMARY}\n"
    assert {mode for mode, _ in hosts.runs} == {"missing", "test"}


def test_after_a_lost_connection_the_rest_is_sent(hosts: Hosts) -> None:
    hosts.limit = 300_000
    results, _ = operate(hosts)
    assert results["one"].outcome == "failed" and [mode for mode, _ in hosts.runs].count("deliver") == 3
    assert hosts.runs[-1] == ("apply", ["direct", "one", "two"]) and hosts.undelivered == ["one", "two"]
    hosts.limit = 10**9
    results, _ = operate(hosts)
    assert hosts.has["one"] == DATA and results["one"].outcome == "ok"


def test_a_host_that_lost_only_its_answer_has_everything(hosts: Hosts) -> None:
    answers, of = ["lost"], hosts.of

    def lost(mode: str, host: str, options: Options) -> Result:
        result = of(mode, host, options)
        if mode == "deliver" and hosts.has["one"] == DATA and answers:
            reason = Reported(delivery.CUT_OFF, answers.pop(), {})
            result.fail(ScriptError.of(message("script-failed", "{name}: {reason}", name=host, reason=reason), host=host))
        return result

    hosts.of = lost  # type: ignore[method-assign]
    results, _ = operate(hosts)
    assert not answers and hosts.undelivered == [] and {result.outcome for result in results.values()} == {"ok"}
    assert [mode for mode, _ in hosts.runs] == ["missing", "deliver", "deliver", "deliver", "missing", "apply"]


def test_what_one_host_answers_does_not_stop_the_others(hosts: Hosts) -> None:
    answers = {"one": Result("one", outcome="ok", files=[HostFile("a-1.0-py3-none-any.whl", 0, "", "refused")])}
    hosts.before = answers.get
    results, _ = operate(hosts)
    assert results["one"].error == (
        "one: the host did not store 1 of the bundle's files, such as a-1.0-py3-none-any.whl (refused). "
        "Run the command again. If it fails again, check the host's log in the run directory"
    )
    assert hosts.runs[-1] == ("apply", ["direct", "one", "two"]) and hosts.undelivered == ["one"]
    hosts.before = {"one": Result("one", outcome="unreachable")}.get
    assert operate(hosts)[0]["one"].outcome == "unreachable" and hosts.undelivered == ["one"]


@pytest.mark.parametrize("mode", ["missing", "deliver"])
def test_ctrl_c_stops_every_host_also_one_that_was_done(hosts: Hosts, mode: str) -> None:
    """The connection to the other host was lost meanwhile: it is not asked again."""
    hosts.interrupted = mode
    hosts.after = {"one": Result("one", outcome="failed", detail={"code": "ssh-no-answer"})}.get
    results, _ = operate(hosts)
    assert [mode for mode, _ in hosts.runs] == [*["missing", "deliver"][: 1 + (mode == "deliver")], "apply"]
    assert hosts.undelivered == ["direct", "one", "two"] and {results["direct"].outcome, results["two"].outcome} == {"stopped"}


def test_a_host_whose_script_was_stopped_there_stops_no_other(hosts: Hosts) -> None:
    hosts.after = {"one": Result("one", outcome="stopped")}.get
    results, _ = operate(hosts)
    assert {name: result.outcome for name, result in results.items()} == {"direct": "ok", "one": "stopped", "two": "ok"}


def test_a_canary_that_lacks_nothing(hosts: Hosts) -> None:
    policy = Policy(canary=("two",))
    operate(hosts, options=Options(policy=policy))
    assert [mode for mode, _ in hosts.runs][-1] == "apply" and hosts.policies == [Policy()] * (len(hosts.runs) - 1) + [policy]


def test_a_file_that_changes_while_it_is_sent_fails_that_host(hosts: Hosts) -> None:
    def truncate(host: str) -> None:
        next((hosts.folder / "bundle").rglob("a-*.whl")).write_bytes(b"a")

    hosts.before = truncate
    with pytest.raises(ScriptError, match="it became shorter"):
        operate(hosts)


def test_a_bundle_without_the_wheels_of_a_host_contacts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "operate", None)
    (tmp_path / "nbserver.toml").write_text(f"[hosts.one]\n{HOST}{PUSH}")
    loaded = reader.load(tmp_path / "nbserver.toml")

    def refused() -> str:
        with pytest.raises(ApprovalError) as caught:
            delivery.operate("apply", loaded, list(loaded.hosts.values()), replace(Options()), None, View())  # type: ignore[arg-type]
        return str(caught.value)

    assert "Run nbserver download first" in refused()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / contents.FILE_NAME).write_text(contents.to_text([], __version__))
    (bundle / mirror.PAGE).write_text(contents.page([]))
    assert (
        "the bundle is incomplete for one: the bundle has no wheel for " in refused()
        and f"Run nbserver download one -o {bundle}" in refused()
    )
    (bundle / "extra.exe").write_bytes(b"")
    assert "extra.exe is not part of the bundle" in refused()
