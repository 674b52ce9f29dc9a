"""docs/audit.md: its commands for PowerShell alone accept what was rendered, and find what was changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.code_signing import signer
from tests.powershell.engine import Session, host_path, require_engine
from tests.rendered_folders import MANIFEST, put, sign_all
from tests.unit.approval.audited import files
from tests.unit.approval.test_audit_page import CHANGES, blocks

__all__ = ["files", "signer"]
NOT_HERE = "Get-WinEvent"  # the block with this, and the one behind it, ask the event log of a host
CHECKS = 7  # commands that answer with True


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        yield opened


def answers(session: Session, files: dict[str, bytes], folder: Path) -> list[str]:
    """What the commands answer, one after the other in one session, apart from the texts that they show."""
    folder.mkdir(exist_ok=True)
    put(files, folder / "rendered")
    digest = json.loads(files[MANIFEST])["hosts"]["win1"]["sha256"]
    (folder / "events.jsonl").write_text(json.dumps({"v": 1, "script_sha256": digest}) + "\n{}\n", "ascii")
    own = [block for block in blocks("powershell") if NOT_HERE not in block and "$events" not in block]
    commands = "".join(own).replace("$PWD", host_path(folder))
    return [line for line in session.run(f"& {{\n{commands}}} | ForEach-Object {{ [string]$_ }}") if line in ("True", "False")]


@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_what_was_rendered_is_accepted(
    session: Session, files: dict[str, bytes], kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = files if kind == "unsigned" else sign_all(files, request.getfixturevalue("signer"))
    assert answers(session, found, tmp_path) == ["True"] * (CHECKS if kind == "unsigned" else CHECKS + 1)


def test_what_was_changed_is_found(session: Session, files: dict[str, bytes], tmp_path: Path) -> None:
    for name, change in CHANGES.items():
        changed = {**files, "win1.ps1": change(files["win1.ps1"])}
        assert "False" in answers(session, changed, tmp_path / re.sub(r"\W", "-", name)), name
