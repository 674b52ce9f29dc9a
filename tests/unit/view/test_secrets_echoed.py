"""A host that sends a secret back: it is in no output and in no file, and the run on that host fails."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nbserver.cli import program
from nbserver.commands import report
from tests.simulated_fleet import TIME
from tests.unit.commands.test_resume import Site, site

__all__ = ["site"]

LOGON = "hunter2-hunter2"
FORMS = (LOGON, LOGON[:8] + "\x1b[31m" + LOGON[8:], base64.b64encode(LOGON.encode()).decode())


def finding(text: str, n: int) -> str:
    """An event of a check, in which each text and value has the secret, also with escaped characters."""
    escaped = json.dumps(text).replace("-", "\\u002d")
    values = f'{{"reason": {escaped}}}'
    return (
        f'{{"v": 1, "n": {n}, "time": "{TIME}", "step": "preflight", "event": "finding", "name": "disk_space", "state": "failed", '
        f'"text": {escaped}, "todo": {escaped}, "code": "disk-full", "values": {values}}}'
    )


@pytest.mark.parametrize(("text", "options"), [(FORMS[0], []), (FORMS[0], ["--json"]), (FORMS[1], ["--quiet"]), (FORMS[2], ["--verbose"])])
def test_no_output_of_a_check_has_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, options: list[str]
) -> None:
    monkeypatch.setenv("LOGON", LOGON)
    inventory = site.fleet.path.read_text().replace("[defaults]\n", '[defaults]\npassword = { env = "LOGON" }\n')
    site.fleet.path.write_text(inventory)
    host = site.fleet.hosts["lin0001"]
    work = host.work

    def echo(steps: Any, mode: str, run: str, script: str) -> None:
        work(steps, mode, run, script)
        events = host.runs[run]
        events[1:] = [finding(text, 2), json.dumps({**json.loads(events[-1]), "n": 3, "outcome": "failed"})]

    monkeypatch.setattr(host, "work", echo)
    log, junit, page = tmp_path / "run.log", tmp_path / "run.xml", tmp_path / "page.html"
    arguments = ["check", "lin0001", "-i", str(site.fleet.path), "--log", str(log), "--junit", str(junit), *options]
    assert program.cli.main(arguments, standalone_mode=False) == 3
    report.write(site.folder.name, site.runs, None, page)
    said = capsys.readouterr()
    files = {path: path.read_text("utf-8") for path in (log, junit, page, *site.folder.rglob("*")) if path.is_file()}
    for name, found in {**files, "output": said.out + said.err}.items():
        for secret in (text, LOGON, base64.b64encode(LOGON.encode()).decode().rstrip("=")):
            assert secret not in found.replace("\\u002d", "-"), name
    assert "contains a secret" in said.out or "--json" in options
    assert "secret-in-event" in said.out or "--json" not in options
    assert "contains a secret" in files[junit] and "*****" in files[log]
