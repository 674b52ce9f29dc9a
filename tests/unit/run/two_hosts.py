"""Two hosts of one run: one says what a test wants, and the other one is fine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.inventory import reader
from nbserver.run import host_job
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.run.result import exit_code
from nbserver.view.plain_lines import PlainLines
from tests.formats import validate
from tests.unit.run.test_host_run import Told, ended, event

INVENTORY = """
[defaults]
system = "windows"
notebook.password = { prompt = true }
[hosts.bad]
address = "192.0.2.1"
[hosts.good]
address = "192.0.2.2"
"""
PRINT = "SHA256:" + "0" * 64


class Hosts:
    """Two hosts, of which `bad` says what it is given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.shown, self.transports = folder, [], []
        self.bad: Callable[[dict[str, Any]], list[Any]] = lambda started: [started, ended(2, "ok", fingerprint=PRINT)]
        (folder / "nbserver.toml").write_text(INVENTORY)
        monkeypatch.setattr("nbserver.transports.connect.connect_to", self.connect)
        monkeypatch.setattr("nbserver.run.host_run.REJOIN_PAUSES", (0.0,))
        monkeypatch.setattr(host_job, "_password", lambda *given: None)
        monkeypatch.setattr(host_job, "_needs", lambda *given: [])

    def connect(self, host: Any, *given: Any) -> Any:
        said = self

        class Answering(Told):
            def run(self, script: str, envelope: Any) -> Any:
                from hashlib import sha256

                run = next(line for line in envelope if line.startswith("run "))[4:]
                mode = envelope[0].removeprefix("mode ")
                started = event(
                    1,
                    "started",
                    run=run,
                    mode=mode,
                    operator="me",
                    release="0.1.0",
                    host=host.name,
                    script_sha256=sha256(script.encode()).hexdigest(),
                )
                good = [started, event(2, "changed", "path"), ended(3, "ok", changed=1, fingerprint=PRINT)]
                self.connections = [said.bad(started) if host.name == "bad" else good]
                return super().run(script, envelope)

        self.transports.append(Answering())
        return self.transports[-1]

    def apply(self, mode: Any = "apply", options: Options | None = None) -> dict[str, Any]:
        loaded = reader.load(self.folder / "nbserver.toml")
        return operate(mode, loaded, loaded.select(["bad", "good"]), options or Options(), None, PlainLines(self.shown.append))

    def check_the_others(self, results: dict[str, Any], error: str, code: int) -> None:
        assert (results["good"].outcome, results["good"].changed, results["good"].fingerprint) == ("ok", 1, PRINT)
        assert results["bad"].outcome == "failed" and error in results["bad"].error, results["bad"].error
        assert results["bad"].error.isprintable()
        assert exit_code(results) == code
        (run,) = (self.folder / "nbserver-runs").iterdir()
        summary = json.loads((run / "summary.json").read_text())
        validate("summary", summary)
        assert {name: entry["outcome"] for name, entry in summary["hosts"].items()} == {"bad": "failed", "good": "ok"}
        assert len((run / "good" / "events.jsonl").read_text().splitlines()) == 3
        assert any(line.startswith("good") and "1 step changed" in line for line in self.shown)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(tmp_path, monkeypatch)
