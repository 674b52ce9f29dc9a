"""A bundle that is approved: signed after a check of all its files, listed by audit, and demanded by mirror and download."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from nbserver import __version__
from nbserver.approval import policy
from nbserver.base import utc
from nbserver.base.errors import ApprovalError
from nbserver.bundle import approval, check, contents, wanted
from nbserver.bundle.approval import Demand
from nbserver.bundle.host_files import HostFiles
from nbserver.catalog import mirror
from nbserver.cli import program
from nbserver.commands import bundle_approval, download
from nbserver.commands.approval_signing import Signer
from nbserver.commands.mirror import Wanted, opened
from nbserver.render.script import Script
from tests import approvals
from tests.approvals import ANNA, BEN, WEEK
from tests.formats import is_valid, validate
from tests.unit.bundle.test_check import put


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    files = [put(folder, "tool.zip", b"tool" * 100), put(folder, "small-1.0-py3-none-any.whl", b"wheel")]
    (folder / contents.FILE_NAME).write_text(contents.to_text(files, __version__))
    (folder / mirror.PAGE).write_text(contents.page(files))
    signers = [approvals.line(name, approvals.key(tmp_path / file)) for name, file in ((ANNA, "anna"), (BEN, "ben"))]
    (tmp_path / "signers").write_text("".join(signers))
    return folder


def sign(bundle: Path, by: str = ANNA, key: str = "anna") -> bundle_approval.Signed:
    return bundle_approval.approve(bundle, Signer(by, bundle.parent / key, None, None), valid=WEEK)


def require(bundle: Path, number: int = 1) -> list[str]:
    demand = Demand(bundle.parent / "signers", number)
    return [one.approval.by for one in approval.require(bundle, contents.read_list(bundle).sha256, demand)]


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> int:
    monkeypatch.setattr("sys.argv", ["nbserver", *line])
    with pytest.raises(SystemExit) as ended:
        program.main()
    return int(str(ended.value.code))


def test_an_approved_bundle_is_served_and_verified(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle.parent)
    demand = ("--require-approval", "--allowed-signers", "signers")
    assert run(monkeypatch, "download", "--verify", "-o", "bundle", *demand) == 5
    assert "nobody has approved this bundle" in capsys.readouterr().err
    assert run(monkeypatch, "approve", "bundle", "--key", "anna", "--by", ANNA, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    validate("answer", said)
    validate("bundle_approval", json.loads(Path(said["file"]).read_text()))
    assert check.findings(bundle) == []
    assert run(monkeypatch, "download", "--verify", "-o", "bundle", *demand) == 0
    wanted = Wanted(bundle, "127.0.0.1", 0, None, None, (), Demand(bundle.parent / "signers"))
    opened(wanted, lambda line: None).server.server_close()
    (bundle / contents.FILE_NAME).write_text(contents.to_text(contents.read(bundle)[:1], __version__))
    assert run(monkeypatch, "mirror", "bundle", "--bind", "127.0.0.1", "--port", "0", *demand) == 5


def test_a_site_that_requires_approval_requires_it_of_bundles(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundle.parent
    monkeypatch.chdir(folder)
    (folder / "site.toml").write_text('require_approval = true\nallowed_signers = "signers"\n')
    monkeypatch.setenv(policy.VARIABLE, str(folder / "site.toml"))
    settings = {"architecture": "x64", "python": {"version": "3.13.1"}, "vc_redist": None, "openssl": None, "packages": {"lock_sha256": ""}}
    script = Script("win1", (), settings, (), "", "")
    monkeypatch.setattr(wanted, "programs", lambda script: [])
    monkeypatch.setattr(wanted.LockedPackages, "of", lambda self, script: [])

    def ways() -> list[Callable[[], object]]:
        return [
            lambda: opened(Wanted(bundle, "127.0.0.1", 0, None, None, ()), lambda line: None).server.server_close(),
            lambda: download.verified(bundle, None),
            lambda: HostFiles(approval.BY_SITE).of(script, bundle),
        ]

    for way in ways():
        with pytest.raises(ApprovalError, match="nobody has approved this bundle"):
            way()
    sign(bundle)
    for way in ways():
        way()


def test_nothing_is_signed_that_is_not_as_listed(bundle: Path) -> None:
    next(bundle.rglob("tool.zip")).write_bytes(b"loot" * 100)
    with pytest.raises(ApprovalError, match=r"has SHA-256 .*, expected"):
        sign(bundle)
    assert not (bundle / "approvals").exists()


def test_another_list_than_the_one_that_was_reviewed_is_not_signed(bundle: Path) -> None:
    with pytest.raises(ApprovalError, match="not the one that you reviewed"):
        bundle_approval.approve(bundle, Signer(ANNA, bundle.parent / "anna", None, None), valid=WEEK, reviewed="0" * 64)


def test_two_people_must_approve_if_two_are_demanded(bundle: Path) -> None:
    sign(bundle)
    sign(bundle)
    with pytest.raises(ApprovalError, match="2 approvals by different people"):
        require(bundle, 2)
    sign(bundle, BEN, "ben")
    assert {*require(bundle, 2)} == {ANNA, BEN}


def test_an_approval_of_another_list_an_old_one_and_one_by_a_stranger_do_not_count(bundle: Path) -> None:
    stranger = approvals.key(bundle.parent / "stranger")
    sign(bundle, ANNA, stranger.name)
    with pytest.raises(ApprovalError, match="the approval is not valid for this bundle"):
        require(bundle)
    digest = contents.read_list(bundle).sha256
    early = approval.parse(approval.build(digest, by=ANNA, issued=utc.now() - 2 * WEEK, valid=WEEK))
    late = approval.parse(approval.build("0" * 64, by=ANNA, issued=utc.now(), valid=WEEK))
    reasons = [approval.Listed(digest).reason(one, utc.now()) for one in (early, late)]
    assert [reason.code for reason in reasons if reason] == ["approval-expired", "approval-of-other-bundle"]


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"more": 1}, {"by": "a b"}, {"by": "-x"}, {"bundle_sha256": "x"}, {"expires": "2020-01-01T00:00:00Z"}]
)
def test_a_document_with_a_fault_is_refused(change: dict[str, object]) -> None:
    document = json.loads(approval.build("0" * 64, by=ANNA, issued=utc.now(), valid=timedelta(days=1)))
    assert is_valid("bundle_approval", document)
    with pytest.raises(ValueError):
        approval.parse(json.dumps(document | change).encode())


def test_a_strange_file_among_the_approvals_is_one_finding(bundle: Path) -> None:
    sign(bundle)
    (bundle / "approvals" / "readme.txt").write_text("")
    assert [one.code for one in check.findings(bundle)] == ["bundle-file-extra"]


def test_audit_lists_a_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(bundle.parent)
    sign(bundle)
    unsigned = Path(sign(bundle, BEN, "ben").file + ".sig")
    unsigned.unlink()
    assert run(monkeypatch, "audit", "bundle") == 0
    said = capsys.readouterr().out
    listed = contents.read_list(bundle)
    assert f"sha256 {listed.sha256}, 2 files, 405 bytes" in said and "from https://example.com/tool.zip" in said
    assert "the signature is valid, for this list\n  by anna@example.com with the key SHA256:" in said
    assert f"{unsigned.stem}  does not count: the approval's signature file {unsigned.name} is missing" in said
    assert run(monkeypatch, "audit", "bundle", "--html", "bundle/files/review.html") == 2
    assert "cannot be written to the audited folder" in capsys.readouterr().err
    assert run(monkeypatch, "audit", "bundle", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    validate("answer", found)
    assert found["bundle_sha256"] == listed.sha256
    assert sorted((one["by"], bool(one["fault"])) for one in found["approvals"]) == [("", True), (ANNA, False)]
    for _ in range(2):  # the second replaces what the first wrote
        assert run(monkeypatch, "audit", "bundle", "--html", "review.html", "--markdown", "review.md", "--json", "review.json") == 0
    for name in ("review.html", "review.md"):
        text = Path(name).read_text()
        assert all(one.sha256 in text for one in listed.files) and listed.sha256 in text
        assert ANNA in text.replace("&#64;", "@")
    assert run(monkeypatch, "audit", "bundle", "--html", "bundle/review.html") == 2
    next(bundle.rglob("tool.zip")).unlink()
    assert run(monkeypatch, "audit", "bundle") == 5
