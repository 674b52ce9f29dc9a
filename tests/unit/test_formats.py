"""docs/formats.md and its schemas against what nbserver and the scripts really write."""

from __future__ import annotations

import copy
import json
import re
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import manifest
from nbserver.base.errors import ConnectError
from nbserver.commands import render, verify
from nbserver.events import reader
from nbserver.events.reader import Event
from nbserver.inventory import reader as inventory
from nbserver.render.render import render_all
from nbserver.run import intent, journal, known_certificates
from nbserver.run.envelope import Envelope
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.view import json_lines
from tests.checkout import CHECKOUT
from tests.formats import KINDS, Draft202012Validator, schema, validate

SAMPLE = CHECKOUT / "nbserver.sample.toml"
SCRIPTS = CHECKOUT / "ps_scripts"


def examples() -> list[tuple[str, Any]]:
    """(kind, value) of every example in docs/formats.md: a fenced block whose second word is the kind."""
    text = (CHECKOUT / "docs" / "formats.md").read_text(encoding="utf-8")
    found: list[tuple[str, Any]] = []
    for language, kind, block in re.findall(r"^```(\w+) (\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "jsonl":
            found += [(kind, json.loads(line)) for line in block.splitlines()]
        elif language == "json":
            found.append((kind, json.loads(block)))
        elif language == "toml":
            found.append((kind, tomlkit.parse(block).unwrap()))
        else:
            found.append((kind, block.splitlines()))
    return found


EXAMPLES = examples()


def example(kind: str, fields: dict[str, Any]) -> Any:
    """A copy of the first example of a kind that has these fields."""
    return next(copy.deepcopy(value) for found, value in EXAMPLES if found == kind and (not fields or fields.items() <= value.items()))


@pytest.mark.parametrize(("kind", "value"), EXAMPLES, ids=[f"{number}-{kind}" for number, (kind, _) in enumerate(EXAMPLES)])
def test_an_example_is_what_its_schema_says(kind: str, value: Any) -> None:
    validate(kind, value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_has_a_schema_and_an_example(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert kind in {found for found, _ in EXAMPLES}


def test_the_events_of_the_examples_are_events() -> None:
    assert {reader.parse(json.dumps(value)).event for kind, value in EXAMPLES if kind == "event"} >= reader.NAMES - {"unchanged"}
    assert set(schema("event")["$defs"]["event"]["properties"]["event"]["enum"]) == reader.NAMES


# ---- what the scripts write, read off their source


# (event, fields) of the functions in prelude/messages and prelude/findings. Only bash reports a warning with a cause.
MESSAGES = {
    (event, frozenset(fields.split()))
    for event, fields in (
        ("warning", "code values text"),
        ("warning", "code values text cause"),
        ("log", "code values text"),
        ("progress", "code values what"),
        ("progress", "code values what done total unit"),
        ("difference", "code values what is should"),
        ("failed", "code values text at"),
        ("failed", "code values text cause at"),
        ("failed", "code values text cause"),
        ("finding", "code values name state text todo"),
        ("finding", "code values name state text todo cause"),
    )
}


def written_events() -> set[tuple[str, frozenset[str]]]:
    """(event, fields) of every `Write-Event NAME @{ ... }` and of every message."""
    found = set()
    for path in SCRIPTS.rglob("*.ps1"):
        for name, data in re.findall(
            r"Write-Event ([a-z]+)\b(?: @\{(.*?)\}$| (?=[$(]))?", path.read_text("ascii"), re.DOTALL | re.MULTILINE
        ):
            bare = re.sub(r"\"[^\"]*\"|'[^']*'", "''", data)
            found.add((name, frozenset(re.findall(r"(?:^|[;\n])\s*(\w+) =", bare))))
    return {(name, fields) for name, fields in found if fields or name in ("changed", "unchanged")} | MESSAGES


def documented_fields(event: str) -> list[tuple[frozenset[str], frozenset[str]]]:
    """(required, all) fields of an event's forms, without the ones that every event has."""
    forms = [schema("event")["$defs"][name] for name in ({"started": ["run_started", "step_started"]}.get(event, [event]))]
    return [(frozenset(form.get("required", [])), frozenset(form["properties"]) - {"step"}) for form in forms]


def test_every_event_that_a_script_can_write_is_documented_with_its_fields() -> None:
    written = written_events()
    assert {name for name, _ in written} == reader.NAMES
    for name, fields in sorted(written, key=str):
        assert any(required <= fields <= every for required, every in documented_fields(name)), (name, sorted(fields))
    for name in reader.NAMES:
        for _, every in documented_fields(name):
            assert every <= frozenset().union(*(fields for found, fields in written if found == name)), name


def test_every_kind_of_the_record_is_documented() -> None:
    source = "".join(path.read_text(encoding="ascii") for path in SCRIPTS.rglob("*.ps1"))
    kinds = set(schema("record")["properties"]["kind"]["enum"])
    assert kinds == set(re.findall(r"Save-Before '(\w+)'", source)) == set(re.findall(r"^\$Restore\.(\w+) =", source, re.MULTILINE))
    assert {line["kind"] for kind, line in EXAMPLES if kind == "record"} <= kinds


# ---- what the orchestrator writes


def test_a_manifest_rendered_from_the_sample() -> None:
    files = render.files(inventory.load(SAMPLE).select(["lab"]))
    written = json.loads(files.pop(manifest.FILE_NAME))
    validate("manifest", written)
    assert {entry["script"] for entry in written["hosts"].values()} == set(files)
    for name, script in files.items():
        text = script.decode("ascii")
        settings = json.loads(text.partition("$Settings = ConvertFrom-Json '\n")[2].partition("\n'\n")[0])
        validate("settings", settings)
        assert settings == written["hosts"][Path(name).stem]["settings"]


def event(n: int, name: str, step: str = "", **data: Any) -> Event:
    value = {"v": 1, "n": n, "time": "2026-11-22T17:10:35.9526580Z", "step": step, "event": name, **data}
    return reader.parse(json.dumps(value))


def test_a_run_directory(tmp_path: Path) -> None:
    ((script, _),) = render_all(inventory.load(SAMPLE).select(["win1"]))
    run = journal.Journal(tmp_path, journal.new_run_id(), "apply", "anna@desk")
    run.intend(intent.of([script], Options(forks=50, known=Path("known"), passwords={"win1": "secret"}), None), [script])
    host = run.host(script)
    host.sent(Envelope("apply", "run-1", secrets={"notebook.password_hash": "x"}).without_secrets())
    host.event(event(1, "changed", "path"))
    host.close()
    run.finish({"win1": Result("win1", "failed", 1, steps={"path": "changed"}, error="win1: the connection was lost").as_json()})

    validate("run", json.loads((run.folder / "run.json").read_text()))
    validate("intent", json.loads((run.folder / "intent.json").read_text()))
    validate("summary", json.loads((run.folder / "summary.json").read_text()))
    validate("event", json.loads((run.folder / "win1" / "events.jsonl").read_text()))
    found = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    text = (CHECKOUT / "docs" / "formats.md").read_text(encoding="utf-8")
    for line in (run.folder / "chain.jsonl").read_text().splitlines():
        validate("chain", json.loads(line))
    assert found == {"run.json", "intent.json", "summary.json", "chain.jsonl"} | set(re.findall(r"^ {6}(win1/\S+)", text, re.MULTILINE))


def test_the_known_file(tmp_path: Path) -> None:
    known_certificates.remember(tmp_path / "nbserver.known", {"win1": "SHA256:" + "0a" * 32}, journal.new_run_id())
    validate("known", json.loads((tmp_path / "nbserver.known").read_text()))


def test_the_stream(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = json_lines.JsonLines()
    lines.event("win1", event(1, "difference", "path", what="PATH", **{"is": None, "should": "C:\\x"}))
    lost = Result("win2", seconds=1.5)
    lost.fail(ConnectError("winrm-no-answer", "{place} did not answer", host="win2", place="win2:5986"))
    for result in (Result("win1", "differs", seconds=0.1), lost, Result("win3", "stopped")):
        lines.host_ended(result)
    lines.summary("test", {"win1": Result("win1", "differs", steps={"path": "differs"})}, tmp_path)
    first, *ended, last = map(json.loads, capsys.readouterr().out.splitlines())
    for line in (first, *ended, last):
        validate("stream", line)
    assert [line["error_kind"] for line in ended] == [None, "timeout", "stopped"]
    assert first["host"] == "win1"
    assert last["event"] == "summary"


def test_the_stream_of_a_verification_that_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = f"""
            [hosts.win1]
            system = "windows"
            address = "127.0.0.1"
            notebook.port = {port}
            notebook.password = {{ prompt = true }}
        """
        (tmp_path / "nbserver.toml").write_text(text)
        loaded = inventory.load(tmp_path / "nbserver.toml")
        assert verify.verify_all(loaded, loaded.select(["win1"]), None, lambda question: "correct horse", True) == 3
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    validate("stream", line)
    failed = line["hosts"]["win1"]
    assert (failed["outcome"], failed["code"]) == ("failed", "notebook-nothing-listening")
    assert failed["values"] == {"place": f"127.0.0.1:{port}"}


names = st.from_regex(r"\A[a-z][a-z0-9_.]{0,20}\Z")
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.sampled_from(["test", "apply", "undo", "events"]),
    texts,
    st.integers(0),
    st.dictionaries(names, texts, max_size=3),
    st.datetimes(),
    st.integers(0, 9),
)
def test_an_envelope_whatever_it_carries(
    mode: Any, operator: str, after: int, secrets: dict[str, str], boot: datetime, restarts: int
) -> None:
    boot_before = f"{boot.isoformat(timespec='seconds')}Z"
    validate("envelope", Envelope(mode, "20261122T171033Z-7ab115", operator, after, secrets, boot_before, restarts=restarts).lines())


def test_the_shipped_catalog_and_the_sample_inventory() -> None:
    validate(
        "catalog",
        tomlkit.parse((CHECKOUT / "installer" / "nbserver" / "catalog" / "data" / "windows.toml").read_text(encoding="utf-8")).unwrap(),
    )
    validate("inventory", tomlkit.parse(SAMPLE.read_text(encoding="utf-8")).unwrap())


# ---- a schema that refuses nothing would prove nothing

FAILED = {"outcome": "failed", "changed": 0, "reboot": False, "steps": {}, "error": "win1: lost"}


@pytest.mark.parametrize(
    ("kind", "fields", "change", "words"),
    [
        ("event", {"event": "changed"}, {"event": "exploded"}, "exploded"),
        ("event", {"event": "changed"}, {"n": 0}, "minimum"),
        ("event", {"event": "changed"}, {"title": "x"}, "title"),
        ("event", {"event": "changed"}, {"time": "2026-11-22 17:10"}, "time"),
        ("event", {"event": "difference"}, {"should": ["a"]}, "should"),
        ("event", {"event": "finished"}, {"outcome": "fine"}, "outcome"),
        ("record", {"kind": "folder"}, {"kind": "carpet"}, "carpet"),
        ("record", {"kind": "folder"}, {"before": "x"}, "before"),
        ("record", {"kind": "registry"}, {"before": {"type": "DWord", "value": ["1"]}}, "before"),
        ("manifest", {}, {"v": 1}, "v"),
        ("settings", {}, {"password": "x"}, "password"),
        ("settings_linux", {}, {"system": "windows"}, "system"),
        ("record_linux", {"kind": "user"}, {"kind": "registry"}, "registry"),
        ("record_linux", {"kind": "user"}, {"before": "x"}, "before"),
        ("record_linux", {"kind": "packages"}, {"before": ["x"]}, "before"),
        ("record_linux", {"kind": "access"}, {"before": "root:root 755"}, "before"),
        ("inventory", {}, {"hosts": {"lin1": {"transport": "telnet"}}}, "transport"),
        ("run", {}, {"mode": "plan"}, "mode"),
        ("summary", {}, {"hosts": {"win1": {"outcome": "ok"}}}, "changed"),
        ("summary", {}, {"hosts": {"win1": {**FAILED, "code": "Not a code"}}}, "Not a code"),
        ("summary", {}, {"hosts": {"win1": {**FAILED, "values": {"seconds": 1.5}}}}, "1.5"),
        ("summary", {}, {"hosts": {"win1": {**FAILED, "values": {"reason": {"text": "x"}}}}}, "'text': 'x'"),
        ("known", {}, {"hosts": {"win1": {"fingerprint": "SHA256:00", "run": "a", "time": "2026-11-22T17:12:04Z"}}}, "fingerprint"),
        ("stream", {"event": "changed"}, {"event": "summary"}, "hosts"),
        ("stream", {"event": "changed"}, {"title": "x"}, "title"),
        ("catalog", {}, {"python": [{"version": "3.13"}]}, "python"),
        ("inventory", {}, {"host": {}}, "host"),
        ("inventory", {}, {"hosts": {"win1": {"adress": "192.0.2.7"}}}, "adress"),
    ],
)
def test_a_schema_refuses_what_is_wrong(kind: str, fields: dict[str, Any], change: dict[str, Any], words: str) -> None:
    value = example(kind, fields)
    validate(kind, value)
    with pytest.raises(AssertionError, match=words):
        validate(kind, {**value, **change})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("envelope", "inventory", "catalog", "stream")])
def test_a_schema_refuses_a_value_that_lacks_a_field(kind: str) -> None:
    value = example(kind, {})
    value.pop(next(iter(value)))
    with pytest.raises(AssertionError, match="is a required property"):
        validate(kind, value)


@pytest.mark.parametrize("line", ["mode plan", "run ../x", "password x", "secret NAME eA==", "mode test apply", ""])
def test_the_envelope_refuses_other_lines(line: str) -> None:
    with pytest.raises(AssertionError):
        validate("envelope", ["run r", line])
