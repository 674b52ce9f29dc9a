"""What earlier releases left on a workstation, and what their hosts report, is read by this one: see tests/states/README.md."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from nbserver.approval import manifest
from nbserver.base.errors import ApprovalError
from nbserver.catalog import reader as catalog
from nbserver.events import reader as events
from nbserver.inventory import reader as inventory
from nbserver.run import known_certificates
from nbserver.run.notebook_password import former_salt
from tests import golden
from tests.checkout import CHECKOUT, SOURCE, TESTS
from tests.formats import validate

STATE = TESTS / "states" / "0.1.0"
HOSTS = {"linux": "lin1", "windows": "win1"}
ON_HOST = {"linux": STATE / "linux/host/var/lib/nbserver/state", "windows": STATE / "windows/host/ProgramData/nbserver"}
RECORDS = {"linux": "record_linux", "windows": "record"}
LOCK = SOURCE / "nbserver/catalog/data/locks/windows-x64-python3.11.txt"

each = pytest.mark.parametrize("system", HOSTS)


def runs(system: str) -> list[Path]:
    """The run directories of plan and apply."""
    return sorted((STATE / "workstation" / system / "nbserver-runs").iterdir())


@each
def test_the_inventory(system: str, tmp_path: Path) -> None:
    shutil.copytree(STATE / "workstation" / system, tmp_path, dirs_exist_ok=True)
    (tmp_path / "id_ed25519").write_text("")
    shutil.copy(LOCK, tmp_path)
    host = inventory.load(tmp_path / "nbserver.toml").hosts[HOSTS[system]]
    assert host.notebook.directory in ("/srv/notebooks", r"C:\notebooks")


def test_the_site_catalog(tmp_path: Path) -> None:
    shutil.copy(STATE / "workstation" / "windows" / "site-catalog.toml", tmp_path)
    shutil.copy(LOCK, tmp_path)
    assert catalog.load(tmp_path / "site-catalog.toml")


@each
def test_the_manifest_is_read_and_does_not_approve_this_release(system: str) -> None:
    path = STATE / "workstation" / system / "rendered" / "manifest.json"
    found = manifest.read(path)
    assert (found["v"], found["release"]) == (1, "0.1.0")
    body = found["hosts"][HOSTS[system]]["body_sha256"]
    assert f"| 0.1.0 | {system.capitalize()} | `{body}` |" in (CHECKOUT / "docs" / "body-hashes.md").read_text("utf-8")
    with pytest.raises(ApprovalError):
        manifest.require_approved(found, path, golden.scripts()[0], {})


@each
def test_the_known_certificates(system: str) -> None:
    known = known_certificates.read(STATE / "workstation" / system / "nbserver.known")
    assert known[HOSTS[system]].run == runs(system)[-1].name


@each
def test_the_run_directories(system: str) -> None:
    plan, apply = runs(system)
    for run, mode, outcome in ((plan, "test", "differs"), (apply, "apply", "ok")):
        head, summary = (json.loads((run / name).read_text("utf-8")) for name in ("run.json", "summary.json"))
        validate("run", head)
        validate("summary", summary)
        assert (head["mode"], head["release"], summary["hosts"][HOSTS[system]]["outcome"]) == (mode, "0.1.0", outcome)
        order = events.EventOrder()
        for line in (run / HOSTS[system] / "events.jsonl").read_text("ascii").splitlines():
            assert order.accept(events.parse(line))
    assert {events.parse(line).step for line in (apply / HOSTS[system] / "events.jsonl").read_text("ascii").splitlines()} >= {"former"}


@each
def test_the_host_has_the_events_that_the_workstation_has(system: str) -> None:
    run = runs(system)[-1]
    kept = (ON_HOST[system] / "runs" / run.name / "events.jsonl").read_bytes()
    assert kept == (run / HOSTS[system] / "events.jsonl").read_bytes()


@each
def test_the_record_is_as_its_schema_says(system: str) -> None:
    lines = [json.loads(line) for line in (ON_HOST[system] / "record.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        validate(RECORDS[system], line)
    assert len(lines) > 10 and all(line["v"] == 1 for line in lines)


@each
def test_the_password_hash_has_the_salt_that_may_be_replaced(system: str) -> None:
    (file,) = [*STATE.glob(f"{system}/host/**/jupyter_config.json"), *STATE.glob(f"{system}/host/**/jupyter_server_config.json")]
    found = re.search(r'"hashed_password": +"argon2:\$argon2id\$[^$]+\$[^$]+\$([^$]+)\$', file.read_text("utf-8"))
    port = {"linux": 9999, "windows": 9417}[system]
    assert found and base64.b64decode(f"{found[1]}==") == former_salt(host=HOSTS[system], port=port)
