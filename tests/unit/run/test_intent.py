"""What a run was about to do is on disk before a host is contacted, and none of it is secret."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ApprovalError, UsageError
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run import intent, run_lock
from nbserver.run.options import Options
from tests.formats import validate
from tests.unit.run.test_run_passwords import PASSWORD, Site, site

__all__ = ["site"]


def test_every_host_has_its_script_and_the_intent_before_one_is_contacted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, Any]] = []

    def connect(host: Any, logon: Any, stop: Any) -> Any:
        (run,) = [path for path in (site.folder / "nbserver-runs").iterdir() if path.is_dir()]
        read = intent.read(run)
        assert read is not None
        found.append({name: (run / name / "script.sh").read_text() for name in read.hosts})
        with pytest.raises(UsageError, match="is still in progress"), ExitStack() as stack:
            run_lock.hold(run, stack)
        return site._connect(host, logon, stop)

    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    site.run("apply", "lin*")
    loaded = reader.load(site.folder / "nbserver.toml")
    rendered = {script.host: script.text for script, _ in render_all(loaded.select(["lin*"]))}
    assert len(found) == 5 and all(one == rendered for one in found)
    (run,) = (site.folder / "nbserver-runs").iterdir()
    assert not [path for path in run.parent.iterdir() if path.name.startswith(".")], "the lock is removed"
    content = json.loads((run / "intent.json").read_text())
    validate("intent", content)
    assert content["options"] == {"forks": 6} and content["salt"] and PASSWORD not in str(content)


def test_every_option_is_kept_or_known_not_to_be(tmp_path: Path) -> None:
    default = Options()
    changed: dict[str, Any] = {}
    for one in dataclasses.fields(Options):
        value = getattr(default, one.name)
        if one.name in intent.NOT_KEPT:
            changed[one.name] = {"web1": "secret"} if isinstance(value, dict) else Path("x") if value is None else ("secret",)
        elif isinstance(value, bool):
            changed[one.name] = not value
        elif isinstance(value, (int, float)):
            changed[one.name] = value + 1
        else:
            changed[one.name] = tmp_path / "file" if "Path" in str(one.type) else 3 if "int" in str(one.type) else "text"
    wanted = Options(**changed)
    found = intent.of([], wanted, None)
    assert "secret" not in found.as_bytes().decode() and found.given == ("web1",)
    again = intent.options(intent.Intent({}, json.loads(found.as_bytes())["options"]), command=("resume",))
    for one in dataclasses.fields(Options):
        if one.name not in intent.NOT_KEPT:
            assert getattr(again, one.name) == changed[one.name], f"intent.json must keep {one.name}, or NOT_KEPT must say why not"
    assert again.command == ("resume",) and not again.passwords
    assert intent.options(found, forks=3).forks == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"scripts": {"*": "0" * 64}},
        {"scripts": {"../web1": "0" * 64}},
        {"scripts": {"web1": "x"}},
        {"scripts": ["web1"]},
        {"options": {"forks": "3"}},
        {"options": {"forks": True}},
        {"options": {"known": 1}},
        {"options": {"approved": "a\0b"}},
        {"options": {"thorough": 1}},
        {"options": {"approvals": []}},
        {"salt": 1},
        {"passwords_given": [1]},
        {"batches": [["web1"], ["web2"]]},
        {"batches": [["web1"], ["web1"]]},
        {"batches": [[]]},
        {"batches": 1},
        {"batches": [[], ["web1"]], "max_failures": "5"},
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    content = {"v": 1, "options": {}, "salt": None, "passwords_given": [], "scripts": {"web1": "0" * 64}}
    (tmp_path / "intent.json").write_text(json.dumps(content), "utf-8")
    assert intent.read(tmp_path) == intent.Intent({"web1": "0" * 64})
    (tmp_path / "intent.json").write_text(json.dumps({**content, **changed}), "utf-8")
    with pytest.raises(ApprovalError, match="is not in the format that nbserver writes"):
        intent.read(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"v":0,"options":{},"salt":null,"passwords_given":[],"scripts":{}}', b"[" * 99999]
)
def test_an_intent_that_somebody_changed_is_refused(tmp_path: Path, content: bytes) -> None:
    assert intent.read(tmp_path) is None
    (tmp_path / "intent.json").write_bytes(content)
    with pytest.raises(ApprovalError, match="is not in the format that nbserver writes"):
        intent.read(tmp_path)
