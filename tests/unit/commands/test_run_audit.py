"""`nbserver audit --run`: from the command line to the exit code, and the log of runs that it compares with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.base.errors import ApprovalError, NbserverError, UsageError
from nbserver.cli.program import cli
from nbserver.run import evidence_log, operation, signed_head
from nbserver.run.chain import Head, Written
from nbserver.run.evidence import now
from tests import approvals
from tests.formats import validate
from tests.unit.run.test_chain_check import Site, rewrite

Audit = Callable[..., str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("nbserver.run.evidence_log._write_system_log", lambda text: None)
    made = Site(tmp_path)
    for head in made.anchors:
        assert not evidence_log.write("run-1", "apply", "anna@desk", made.folder, head)
    evidence_log.write("run-2", "apply", "anna@desk", made.folder, Head(3, "f" * 64))
    return made


@pytest.fixture
def audit(site: Site) -> Audit:
    def invoke(*arguments: str) -> str:
        found = CliRunner().invoke(cli, ["audit", *arguments])
        if isinstance(found.exception, NbserverError):
            raise found.exception
        assert found.exit_code == 0, found.output
        return found.output

    return invoke


def test_a_run_that_is_as_it_was_written(site: Site, audit: Audit) -> None:
    head = site.anchors[-1].sha256
    for arguments in (["run-1", "--runs", str(site.folder.parent)], [str(site.folder)]):
        shown = audit("--run", *arguments, "--head", site.sent.sha256)
        assert f"head of the chain: {head}" in shown and f"runs.jsonl has line {site.anchors[-1].n}, " in shown
        assert f"lin1: ok, script {site.script.sha256}" in shown and "lin2: failed, script not sent" in shown
    log = evidence_log.default_path()
    assert log.stat().st_mode & 0o777 == 0o600
    for line in log.read_text().splitlines():
        validate("evidence_log", json.loads(line))


def test_without_what_is_outside_the_report_says_so(site: Site, audit: Audit) -> None:
    evidence_log.default_path().unlink()
    assert "can have written all of it" in audit("--run", str(site.folder))
    shown = audit("--run", str(site.folder), "--head", site.sent.sha256)
    assert "can have written all of it" not in shown
    assert "lines are proven by --head: whoever can write to the directory can have written the others" in shown


def test_a_run_that_is_not_there(site: Site, audit: Audit) -> None:
    """One that the log has no line about is a typo. One that it has a line about was evidence."""
    runs = str(site.folder.parent)
    with pytest.raises(UsageError, match="there is no run run-7 in "):
        audit("--run", "run-7", "--runs", runs)
    with pytest.raises(ApprovalError, match="could not read the folder"):
        audit("--run", "run-2", "--runs", runs)


def test_a_run_under_another_id_is_refused(site: Site, audit: Audit, tmp_path: Path) -> None:
    """Also one that a log that was named has no line about."""
    copy = tmp_path / "copy" / "run-3"
    shutil.copytree(site.folder, copy)
    with pytest.raises(ApprovalError, match="the directory belongs to the run run-1, not run-3"):
        audit("--run", str(copy))
    with pytest.raises(ApprovalError, match="the evidence log contains no line about the run run-3"):
        audit("--run", str(copy), "--evidence-log", str(evidence_log.default_path()))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("run.json", '"operator": "anna@desk"', '"operator": 5'),
        ("run.json", '"approved": {', '"approved": 5, "other": {'),
        ("summary.json", '"outcome": "ok"', '"outcome": []'),
        ("summary.json", '"hosts": {', '"hosts": 1, "other": {'),
    ],
)
def test_files_that_nbserver_does_not_write_are_refused_without_a_traceback(
    site: Site, audit: Audit, name: str, before: str, after: str
) -> None:
    path = site.folder / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    rewrite(site.folder)
    evidence_log.default_path().unlink()
    with pytest.raises(ApprovalError, match="the file is not in the format that nbserver writes"):
        audit("--run", str(site.folder))


def test_control_characters_do_not_reach_the_terminal(site: Site, audit: Audit) -> None:
    path = site.folder / "run.json"
    path.write_text(path.read_text().replace("anna@desk", "\\u001b[8m\\n  approved: yes", 1))
    rewrite(site.folder)
    evidence_log.default_path().unlink()
    shown = audit("--run", str(site.folder))
    assert "\x1b" not in shown and "\n  approved: yes" not in shown


def test_what_does_not_match_exits_with_code_5(site: Site, audit: Audit) -> None:
    with pytest.raises(ApprovalError, match=r"no line of chain\.jsonl has the SHA-256 aaaa"):
        audit("--run", str(site.folder), "--head", "a" * 64)
    log = evidence_log.default_path()
    log.write_text(log.read_text().replace(site.anchors[-1].sha256, "b" * 64))
    with pytest.raises(ApprovalError, match="differs from the one in the evidence log of this workstation"):
        audit("--run", str(site.folder))
    log.write_text(log.read_text() + "{}\n")
    with pytest.raises(ApprovalError, match="line 4 was not written by nbserver") as caught:
        audit("--run", str(site.folder))
    assert caught.value.exit_code == 5
    with pytest.raises(ApprovalError, match="could not read the file"):
        audit("--run", str(site.folder), "--evidence-log", str(log.parent / "none"))


def test_a_signed_chain(site: Site, audit: Audit, tmp_path: Path) -> None:
    """ssh-keygen agrees; another key, another line, and a line after it are refused."""
    mine, other = approvals.key(tmp_path / "mine"), approvals.key(tmp_path / "other")
    public = str(mine.with_suffix(".pub"))
    with pytest.raises(ApprovalError, match="the run is not signed with the key SHA256:"):
        audit("--run", str(site.folder), "--evidence-key", public)
    last = site.run.chain.last_line()
    signed_head.sign(site.folder, last, signed_head.load_key(mine, None))
    assert f"line {site.anchors[-1].n} is signed with the key SHA256:" in audit("--run", str(site.folder), "--evidence-key", public)
    (tmp_path / "signers").write_text(approvals.line("anna", mine))
    if keygen := shutil.which("ssh-keygen"):
        command = [keygen, "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "anna", "-n", "nbserver-evidence", "-s"]
        subprocess.run([*command, str(site.folder / "chain.jsonl.sig")], input=last, check=True, capture_output=True)
    with pytest.raises(ApprovalError, match="the run is not signed with the key SHA256:"):
        audit("--run", str(site.folder), "--evidence-key", str(other.with_suffix(".pub")))
    evidence_log.default_path().unlink()
    log = site.folder / "lin1" / "log.txt"
    site.run.chain.add(now(), Written.of(log, log.read_bytes()))
    with pytest.raises(ApprovalError, match=f"only the first {site.anchors[-1].n} of {site.anchors[-1].n + 1} lines"):
        audit("--run", str(site.folder), "--evidence-key", public)
    signature = site.folder / "chain.jsonl.sig"
    signed_head.sign(site.folder, b"another line\n", signed_head.load_key(mine, None))
    with pytest.raises(ApprovalError, match="the signature does not match the file"):
        audit("--run", str(site.folder))
    signature.write_text("no signature")
    with pytest.raises(ApprovalError, match="the file is not a valid SSH signature"):
        audit("--run", str(site.folder))
    with pytest.raises(ApprovalError, match="the file does not contain an Ed25519 public key"):
        signed_head.public_key(signature)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "exactly one of"),
        (["folder", "--run", "run-1"], "exactly one of"),
        (["--run", ".."], "is not a run ID"),
        (["--evidence"], "--evidence requires hosts"),
        (["lin1", "--evidence", "--html", "page.html"], "--evidence can be combined only with"),
        (["lin1", "--evidence", "--run", "run-1"], "--evidence can be combined only with"),
    ],
)
def test_a_command_that_asks_for_nothing(audit: Audit, arguments: list[str], error: str) -> None:
    with pytest.raises(NbserverError, match=error) as caught:
        audit(*arguments)
    assert caught.value.exit_code == 2


def test_the_log_of_the_system_gets_the_same_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setitem(evidence_log._SYSLOG, "linux", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(str(tmp_path / "log"))
        system.settimeout(10)
        assert not evidence_log.write("run-1", "apply", "anna@desk", tmp_path, Head(7, "c" * 64))
        text = system.recv(4096).decode().rstrip("\0")
    assert text == f"<14>nbserver: nbserver run run-1: mode apply, by anna@desk, line 7 of the chain has SHA-256 {'c' * 64}"


def test_a_log_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("nbserver.run.evidence_log._SYSLOG", {"linux": str(tmp_path / "none")})
    (warning,) = evidence_log.write("run-1", "apply", "me", tmp_path, Head(1, "c" * 64))
    assert "Not a directory" in str(warning)


def test_the_report_as_json(site: Site, audit: Audit, tmp_path: Path) -> None:
    found = json.loads(audit("--run", str(site.folder), "--json", "-"))
    validate("answer", found)
    assert (found["run"], found["mode"], found["head"]) == ("run-1", "apply", site.anchors[-1].sha256)
    assert found["hosts"]["lin1"] == {"outcome": "ok", "script_sha256": site.script.sha256}
    assert found["hosts"]["lin2"] == {"outcome": "failed", "script_sha256": None}
    assert [entry["line"] for entry in found["logged"]] == [head.n for head in site.anchors] and found["notes"] == []
    evidence_log.default_path().unlink()
    shown = audit("--run", str(site.folder), "--json", str(tmp_path / "audit.json"))
    assert "can have written all of it" in shown and f"written: {tmp_path / 'audit.json'}" in shown
    kept = json.loads((tmp_path / "audit.json").read_text("ascii"))
    validate("answer", kept)
    assert kept["logged"] == [] and "can have written all of it" in kept["notes"][0]


def test_the_report_as_json_replaces_only_an_earlier_one(site: Site, audit: Audit, tmp_path: Path) -> None:
    """The file could be the inventory, or one of the run."""
    report, other = tmp_path / "audit.json", tmp_path / "nbserver.toml"
    for _ in range(2):
        audit("--run", str(site.folder), "--json", str(report))
    other.write_text("[hosts.lin1]\n")
    for path, said in ((other, "does not look like earlier output"), (site.folder / "lin1" / "audit.json", "the audited folder")):
        with pytest.raises(UsageError, match=said):
            audit("--run", str(site.folder), "--json", str(path))
    assert other.read_text() == "[hosts.lin1]\n"


def test_a_comparison_with_hosts_does_not_replace_another_file(audit: Audit, tmp_path: Path) -> None:
    inventory = tmp_path / "nbserver.toml"
    inventory.write_text('[hosts.lin1]\nsystem = "linux"\naddress = "192.0.2.7"\nuser = "root"\nnotebook.password = { env = "N" }\n')
    with pytest.raises(UsageError, match="does not look like earlier output"):
        audit("lin1", "--evidence", "-i", str(inventory), "--json", str(inventory))


@pytest.mark.skipif(os.name == "nt", reason="a user name cannot contain other bytes")
def test_a_user_name_of_any_bytes_leaves_a_log_that_can_be_read(site: Site, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "a\udcff\nmode apply")
    assert operation.operator().startswith("a\ufffd / mode apply@")
    evidence_log.write("run-3", "apply", operation.operator(), Path("/srv/\udcff"), Head(3, "f" * 64))
    assert "all files match" in audit("--run", str(site.folder))
