"""The approvals in a folder are part of its audit: who signed what, and why one does not count."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.listed_approvals import ListedApproval
from nbserver.approval.reference import Reference
from nbserver.base import utc
from nbserver.base.errors import ApprovalError
from nbserver.commands import review
from tests import approvals, rendered_folders
from tests.approvals import ANNA, BEN
from tests.formats import validate
from tests.unit.approval.audited import linux_user

__all__ = ["linux_user"]


@pytest.fixture
def folder(linux_user: dict[str, bytes], tmp_path: Path) -> Path:
    return rendered_folders.put(linux_user, tmp_path / "out")


def listed(folder: Path) -> tuple[ListedApproval, ...]:
    return audit.checked(folder).approvals


def test_an_approval_is_shown_with_what_it_covers(folder: Path, tmp_path: Path) -> None:
    assert listed(folder) == () and "approvals" not in audit.audit(folder)
    path = approvals.sign(folder, approvals.key(tmp_path / "id"), ANNA, modes=("plan", "backup-key"))
    (found,) = listed(folder)
    assert (found.file, found.by, found.modes, found.fault) == (path.name, ANNA, ("backup-key", "plan"), "")
    lines = audit.audit(folder)[-3:]
    assert lines[0] == f"    {path.name}  the signature is valid, for this manifest"
    assert found.key in lines[1] and lines[2].endswith(f"backup-key, plan on {', '.join(found.hosts)}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda path: path.with_name(path.name + ".sig").unlink(), "the approval's signature file "),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"anna", b"anne")), "signature"),
        (lambda path: path.write_text("{}"), "signature"),
    ],
)
def test_without_a_valid_signature_nothing_that_the_document_says_is_shown(folder: Path, tmp_path: Path, change, fault: str) -> None:  # type: ignore[no-untyped-def]
    change(approvals.sign(folder, approvals.key(tmp_path / "id"), ANNA))
    (found,) = listed(folder)
    assert fault in found.fault and not (found.by or found.key or found.hosts)
    assert "does not count" in audit.audit(folder)[-1] and "ann" not in audit.audit(folder)[-1]


def test_an_approval_that_no_run_accepts_says_why(folder: Path, tmp_path: Path) -> None:
    key = approvals.key(tmp_path / "id")
    approvals.sign(folder, key, ANNA, issued=utc.now() - timedelta(days=9))
    approvals.sign(folder, key, BEN, manifest_sha256="c" * 64)
    newest, oldest = listed(folder)
    assert "different manifest" in newest.fault and newest.by == BEN
    assert "expired" in oldest.fault and oldest.by == ANNA


def test_a_file_that_is_not_an_approval_is_refused(folder: Path) -> None:
    (folder / "approvals").mkdir()
    (folder / "approvals" / "approval.txt").write_text("yes")
    with pytest.raises(ApprovalError, match=r"approval\.txt does not belong in this folder"):
        audit.audit(folder)


def test_a_review_has_the_approvals(folder: Path, tmp_path: Path) -> None:
    path = approvals.sign(folder, approvals.key(tmp_path / "id"), ANNA)
    outputs = {kind: tmp_path / f"review.{kind}" for kind in ("html", "json", "markdown")}
    review.of_folder(folder, Reference.load(), outputs, None)
    found = json.loads(outputs["json"].read_bytes())
    validate("review", found)
    assert [one["by"] for one in found["approvals"]] == [ANNA]
    for kind in ("html", "markdown"):
        text = outputs[kind].read_text("utf-8")
        assert path.name in text and "the signature is valid, for this manifest" in text
