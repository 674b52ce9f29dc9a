"""The page of a report: it needs no network, its anchors exist, and it believes no text of a host."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.base.errors import OutputError, UsageError
from nbserver.cli.program import cli
from nbserver.report import before, statements
from nbserver.report.host_events import Step
from nbserver.report.page import page
from nbserver.report.statements import Report
from tests import run_folders
from tests.unit.verify.test_picture import DRAWING

HOSTILE = "</code></details><script>alert(1)</script>\"'{{ 7*7 }}<img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return run_folders.fleet(tmp_path_factory.mktemp("fleet"), DRAWING)


@pytest.fixture(scope="module")
def found(runs: list[Path]) -> Report:
    return statements.report(runs[1])


@pytest.fixture(scope="module")
def text(runs: list[Path], found: Report) -> str:
    return page(found, before.compare(found, runs[0]))


def test_the_page_needs_no_network_and_its_policy_allows_its_own_style_and_script_only(text: str) -> None:
    policy = re.search(r'Content-Security-Policy content="([^"]+)"', text)
    assert policy
    allowed = html.unescape(policy[1])
    assert allowed.startswith("default-src 'none'; ") and "unsafe" not in allowed and "http" not in allowed
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()}'" in allowed
    assert not re.search(r"<(?:link|iframe|object|form)\b|\son\w+=|\sstyle=|\burl\(|@import", text)
    assert re.findall(r'\ssrc="([^"]{0,22})', text) == ["data:image/png;base64,"] and "img-src data:" in allowed
    assert all(link.startswith("#") for link in re.findall(r'\shref="([^"]*)"', text))


def test_every_link_has_its_anchor(text: str) -> None:
    anchors = re.findall(r'\sid="?([^\s">]+)', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'\shref="#([^"]*)"', text)) <= set(anchors)


def test_the_page_has_every_host_script_failure_and_difference(text: str, found: Report, runs: list[Path]) -> None:
    for host in found.hosts:
        assert f'id="host-{host.name}"' in text and host.script and host.script.sha256 in text
        assert hashlib.sha256((runs[1] / host.script.file).read_bytes()).hexdigest() == host.script.sha256
    assert all(html.escape(group.text, quote=False) in html.unescape(text) for group in found.failures)
    assert "another one" not in text and text.count("the same</tr>") == 7


def test_text_from_a_run_is_shown_and_never_run(found: Report) -> None:
    step = Step(HOSTILE, HOSTILE, HOSTILE, 10, [HOSTILE], 1)
    hosts = tuple(
        replace(host, error=HOSTILE, last_event=HOSTILE, warnings=(HOSTILE,), steps=(step,), outcome="failed") for host in found.hosts[:2]
    )
    head = replace(found.head, operator=HOSTILE, release=HOSTILE, command=(HOSTILE,), inventory=HOSTILE, workstation=HOSTILE)
    failures = (replace(found.failures[0], text=HOSTILE, hosts=("web01",)),)
    hostile = replace(
        found, head=head, hosts=hosts, failures=failures, logs={"web01": (HOSTILE,)}, slowest=(("web01", step),), faults=(HOSTILE,)
    )
    shown = page(hostile)
    assert "<script>alert" not in shown and "<img src=x" not in shown and shown.count("<script>") == 1 and "{{ 7*7 }}" in shown


def test_control_characters_of_a_host_do_not_reach_the_page(runs: list[Path], tmp_path: Path) -> None:
    folder = run_folders.killed(tmp_path)
    path = folder / "web02" / "events.jsonl"
    lines = path.read_text().splitlines()
    event = {**json.loads(lines[-1]), "text": "a\u202eb\x1b[2J\u2066<b>"}
    path.write_text("\n".join([*lines[:-1], json.dumps(event)]) + "\n")
    (folder / "web02" / "log.txt").write_bytes("x\u202ey\x1b]0;t\x07 \xff\n".encode("latin-1", "replace") + b"\xe2\x80\xae\n")
    shown = page(statements.report(folder))
    assert not re.search("[\u202e\u2066\x1b\x07]", shown) and "The run has no recorded end" in shown


def test_the_command_writes_the_page_at_once(runs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    arguments = ["report", runs[1].name, "--runs", str(runs[1].parent), "-o"]
    done = CliRunner().invoke(cli, [*arguments, str(output)])
    assert done.exit_code == 0 and done.output.startswith(f"{runs[1].name}: 12 hosts, 2 failed, 5 ok, 5 unreachable\n")
    assert runs[0].name in output.read_text("utf-8"), "compared with the run before"
    if os.name == "posix":
        assert output.stat().st_mode & 0o777 == 0o600
    printed = CliRunner().invoke(cli, [*arguments, "-"])
    assert printed.exit_code == 0 and printed.stdout_bytes == output.read_bytes()
    for wrong, kind in ((tmp_path / "missing" / "report.html", OutputError), (runs[1] / "report.html", UsageError)):
        failed = CliRunner().invoke(cli, [*arguments, str(wrong)])
        assert isinstance(failed.exception, kind) and failed.exception.exit_code == (3 if kind is OutputError else 2)
        assert not wrong.exists()


def test_five_hundred_hosts_are_a_page_of_a_few_megabytes(found: Report) -> None:
    hosts = tuple(replace(found.hosts[number % 12], name=f"h{number}", picture=b"") for number in range(500))
    begin = time.process_time()
    text = page(replace(found, hosts=hosts, failures=(), slowest=(), totals=()))
    assert len(text) < 3_000_000 and time.process_time() - begin < 20
