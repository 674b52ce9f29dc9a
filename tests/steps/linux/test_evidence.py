"""`nbserver audit --evidence`: the real command and the real script find every run that only one side has, and every change."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.commands import host_evidence
from nbserver.inventory import reader
from nbserver.run.options import Options
from tests.formats import validate
from tests.steps.linux.test_notebook_files import Both, Said, both, write

__all__ = ["both"]
STATE = "home/.local/state/nbserver/state/runs"


class Site:
    """A host on which two runs have left events, and the workstation that ran them."""

    def __init__(self, both: Both, capsys: pytest.CaptureFixture[str]) -> None:
        self.both, self._capsys = both, capsys
        self.first = self._pushed(b"1", but=None)  # runs that start in the same second have no order by name
        self.second = self._pushed(b"2", but=self.first)

    def _pushed(self, number: bytes, but: Path | None) -> Path:
        write(self.both.ours, {f"{number!r}.txt": number})
        assert self.both.push()[0] == 0
        (found,) = {path.parent for path in self.both.place.glob(f"{STATE}/*/events.jsonl")} - {but}
        return found

    def ours(self, host: Path) -> Path:
        """The run directory of the run with this folder on the host."""
        return self.both.place / "runs" / host.name

    def audit(self) -> tuple[int, dict[str, Any]]:
        loaded = reader.load_for(self.both.place / "nbserver.toml", ["local"])
        options = Options(runs=self.both.place / "runs", known=self.both.place / "nbserver.known")
        self._capsys.readouterr()
        code = host_evidence.audit(loaded, loaded.select(["local"]), options, None, Said(), Path("-"))
        (line,) = self._capsys.readouterr().out.splitlines()
        validate("stream", json.loads(line))
        return code, json.loads(line)

    def codes(self) -> dict[str, list[str]]:
        """The codes of what does not match, by run."""
        code, said = self.audit()
        found: dict[str, list[str]] = {}
        for finding in said["findings"]:
            found.setdefault(finding["run"], []).append(finding["code"])
        assert code == (5 if found else 0) and said["matching"] == said["runs"] - len(found)
        return found


@pytest.fixture
def site(both: Both, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(both, capsys)


def test_two_runs_match_and_the_audit_leaves_nothing_on_the_host(site: Site) -> None:
    before = sorted(site.first.parent.rglob("*"))
    assert site.audit() == (0, {"event": "evidence", "host": "local", "runs": 2, "matching": 2, "running": [], "findings": []})
    assert sorted(site.first.parent.rglob("*")) == before


def change(path: Path, old: bytes, new: bytes) -> None:
    data, count = re.subn(old, new, path.read_bytes())
    assert count
    path.write_bytes(data)


def script_of(site: Site) -> Path:
    """The script of both runs, which the host keeps once."""
    (found,) = site.first.parent.glob("*/*.sh")
    return found


CASES: list[tuple[Callable[[Site], None], dict[Any, list[str]]]] = [
    (lambda site: change(site.first / "events.jsonl", b'"changed":1', b'"changed":0'), {0: ["run-events-differ"]}),
    (lambda site: change(site.ours(site.second) / "local/events.jsonl", b'"changed":1', b'"changed":0'), {1: ["run-events-differ"]}),
    (lambda site: shutil.rmtree(site.second), {1: ["kept-run-not-on-host"]}),
    (lambda site: shutil.rmtree(site.ours(site.first)), {0: ["run-not-here"]}),
    (lambda site: shutil.rmtree(site.ours(site.second) / "local"), {1: ["run-not-here"]}),
    (lambda site: change(site.ours(site.first) / "local/events.jsonl", rb'\{"v":1,"n":2', b'{"v":2,"n":2'), {0: ["past-run-invalid"]}),
    (
        lambda site: change(site.first / "events.jsonl", b'"script_sha256"', b'"script_sha255"'),
        {0: ["kept-events-invalid", "run-events-differ"]},
    ),
    (
        lambda site: change(site.ours(site.first) / "local/events.jsonl", b'(?<="script_sha256":")[0-9a-f]{64}', b"a" * 64),
        {0: ["run-scripts-differ"]},
    ),
    (
        lambda site: (site.second.rename(site.second.with_name("other")), None)[1],
        {1: ["kept-run-not-on-host"], "other": ["kept-events-of-other-run", "run-not-here"]},
    ),
    (lambda site: change(script_of(site), b"#", b"##"), {0: ["kept-script-changed-on-host"], 1: ["kept-script-changed-on-host"]}),
    (lambda site: script_of(site).unlink(), {0: ["kept-script-not-on-host"], 1: ["kept-script-not-on-host"]}),
]


def test_what_only_one_side_has_and_what_differs(site: Site, tmp_path: Path) -> None:
    names = [site.first.name, site.second.name]
    for folder in ("home", "runs"):
        shutil.copytree(tmp_path / folder, tmp_path / "before" / folder)
    for act, codes in CASES:
        act(site)
        assert site.codes() == {names[key] if isinstance(key, int) else key: words for key, words in codes.items()}
        for folder in ("home", "runs"):
            shutil.rmtree(tmp_path / folder)
            shutil.copytree(tmp_path / "before" / folder, tmp_path / folder)
    assert site.codes() == {}


def test_a_connection_that_was_lost_leaves_a_part_of_the_events(site: Site) -> None:
    path = site.ours(site.second) / "local" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    code, said = site.audit()
    (finding,) = said["findings"]
    assert code == 5 and finding["code"] == "run-events-incomplete"
    assert finding["text"].endswith(f"nbserver events {site.second.name} local")
