"""nbserver approve: it signs what passes the audit, with a key in a file or an agent, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nbserver.approval import audit, document, policy, signing_key, sshsig
from nbserver.approval.reference import Reference
from nbserver.base.errors import ApprovalError, NbserverError, SecretError
from nbserver.cli import program
from nbserver.cli.parameters import Names, Period
from nbserver.commands import render
from tests import approvals, rendered_folders
from tests.approvals import ANNA
from tests.formats import validate


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return rendered_folders.machines(tmp_path_factory.mktemp("inventory"))


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Reference) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Reference, "load", lambda *given: reference)
    approvals.key(tmp_path / "id")
    return rendered_folders.put(files, tmp_path / "out")


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    given = [*options]
    for name, value in (("--key", "id"), ("--by", ANNA)):
        given += [] if name in options else [name, value]
    monkeypatch.setattr("sys.argv", ["nbserver", "approve", "out", *given])
    with pytest.raises(SystemExit) as ended:
        program.main()
    return int(str(ended.value.code))


def test_it_signs_what_was_audited(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--modes", "plan,apply", "--expires", "2w", "--hosts", "win*") == 0
    said = capsys.readouterr().out
    path, signature = sorted((folder / "approvals").iterdir())
    data = path.read_bytes()
    found = sshsig.parse(signature.read_bytes())
    found.verify(data, "nbserver-approval")
    approval = document.parse(data)
    validate("approval", json.loads(data))
    assert (approval.by, approval.modes, list(approval.hosts), (approval.expires - approval.issued).days) == (
        ANNA,
        ("apply", "plan"),
        ["win1"],
        14,
    )
    assert approval.sha256 in said and found.key.fingerprint in said and "for apply, plan on win1, until 20" in said
    # the approval is no part of what is audited and compared
    assert run(monkeypatch) == 0
    render.compare({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}, folder)


def test_nothing_is_signed_that_does_not_pass_the_audit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "win1.ps1").open("ab") as file:
        file.write(b"#")
    assert run(monkeypatch) == 5
    assert "the script's SHA-256 does not match the manifest" in capsys.readouterr().err and not (folder / "approvals").exists()


def test_what_is_signed_is_what_was_audited(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also if a manifest is exchanged for the time of the audit only."""
    usual = audit.checked

    def exchanged(*given: Any) -> audit.Audited:
        path = folder / "manifest.json"
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        try:
            return usual(*given)
        finally:
            path.write_bytes(before)

    monkeypatch.setattr(audit, "checked", exchanged)
    assert run(monkeypatch) == 5
    assert "the manifest was changed during the audit" in capsys.readouterr().err and not (folder / "approvals").exists()


def test_only_the_manifest_that_was_reviewed_is_signed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--manifest", "0" * 64) == 5
    assert "the manifest is not the one that you reviewed" in capsys.readouterr().err and not (folder / "approvals").exists()
    assert run(monkeypatch, "--manifest", hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()) == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--by", "anna example"], 2, "--by must be a name without spaces"),
        (["--by", "*"], 2, "--by must be a name without spaces"),
        (["--modes", "apply,destroy"], 2, "--modes accepts only these modes, each at most once: plan, apply, undo"),
        (["--modes", "apply,apply"], 2, "--modes accepts only these modes, each at most once:"),
        (["--modes", "apply,"], 2, "must be names separated by commas"),
        (["--hosts", "win1,linux9"], 2, 'no host in the manifest matches "linux9"'),
        (["--expires", "400d"], 2, "must be a number of hours, days, or weeks"),
        (["--key", "missing"], 5, "missing: could not read the file"),
        (["--key", "out/manifest.json"], 2, "the file contains neither a private key nor a public key"),
        (["--key-password", "secret"], 2, "must be env=NAME, keyring=NAME, or file=PATH"),
    ],
)
def test_what_cannot_be_signed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    assert run(monkeypatch, *options) == code
    assert said in capsys.readouterr().err and not (folder / "approvals").exists()


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
def test_more_hosts_than_an_approval_can_cover_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(document, "HOSTS", 1)
    assert run(monkeypatch) == 2
    assert "an approval can cover at most 1 hosts" in capsys.readouterr().err and not (folder / "approvals").exists()
    assert run(monkeypatch, "--hosts", "win1") == 0


def test_a_link_instead_of_the_folder_of_approvals_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "approvals").symlink_to(tmp_path / "elsewhere")
    assert run(monkeypatch) == 5
    assert "expected a folder, found a link" in capsys.readouterr().err and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
@pytest.mark.parametrize("name", ["win1.ps1", "manifest.json", "other"])
def test_nothing_is_rendered_into_a_folder_with_a_link(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("x")
    (tmp_path / "out" / name).symlink_to(tmp_path / "mine")
    with pytest.raises(ApprovalError, match=rf"out: {name} is a link"):
        render.write(files, tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ApprovalError, match="expected a folder, found a link"):
        render.write(files, tmp_path / "link")
    assert (tmp_path / "mine").read_text() == "x" and len(list((tmp_path / "out").iterdir())) == 1


# ---- the key


def load(path: Path, word: str | None = None) -> signing_key.SigningKey:
    return signing_key.load(path, lambda: word)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    path = approvals.key(tmp_path / "id", b"correct horse")
    sshsig.parse(load(path, "correct horse").armored(b"x", "n")).verify(b"x", "n")
    with pytest.raises(SecretError, match=r"there is no terminal to ask for its passphrase. Add --key-password"):
        load(path)
    with pytest.raises(SecretError, match="or the passphrase is wrong"):
        load(path, "wrong horse")


def test_the_passphrase_can_be_a_reference(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    approvals.key(tmp_path / "id", b"correct horse")
    (tmp_path / "word").write_text("correct horse\n")
    (tmp_path / "word").chmod(0o600)
    monkeypatch.setenv("KEY_WORD", "correct horse")
    assert run(monkeypatch, "--key-password", "env=KEY_WORD") == run(monkeypatch, "--key-password", "env:KEY_WORD") == 0
    assert run(monkeypatch, "--key-password", "file=word") == 0


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = approvals.key(tmp_path / "id")
    path.chmod(0o640)
    with pytest.raises(SecretError, match=r"other users can access the private key .* Run: chmod 600"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this needs POSIX")
def test_a_key_is_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * 200_000)
    (tmp_path / "text").write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "text").chmod(0o600)
    for name in ("fifo", "large", "text", "."):
        with pytest.raises(NbserverError):
            load(tmp_path / name)


def test_another_type_of_key_is_refused(tmp_path: Path) -> None:
    data = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (tmp_path / "id").write_bytes(data)
    (tmp_path / "id").chmod(0o600)
    with pytest.raises(SecretError, match=r"the key type is not supported; .* Create a key with: ssh-keygen -t ed25519"):
        load(tmp_path / "id")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent without keys."""
    if not shutil.which("ssh-agent") or os.name == "nt":
        pytest.skip("this needs ssh-agent")
    socket = tmp_path / "agent"
    said = subprocess.run(["ssh-agent", "-s", "-a", str(socket)], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    os.kill(int(said.partition("SSH_AGENT_PID=")[2].partition(";")[0]), signal.SIGTERM)


def test_a_key_of_the_agent_signs(agent: None, tmp_path: Path) -> None:
    path = approvals.key(tmp_path / "id")
    with pytest.raises(
        SecretError, match=r"the SSH agent could not sign with the key SHA256:.* Start the agent and add the key with ssh-add"
    ):
        load(tmp_path / "id.pub").armored(b"x", "n")
    subprocess.run(["ssh-add", "-q", str(path)], check=True)
    sshsig.parse(load(tmp_path / "id.pub").armored(b"x", "n")).verify(b"x", "n")


def test_an_agent_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    approvals.key(tmp_path / "id")
    with pytest.raises(SecretError, match="the SSH agent could not sign"):
        load(tmp_path / "id.pub").armored(b"x", "n")


def test_a_key_that_signs_wrongly_is_noticed(tmp_path: Path) -> None:
    key, other = load(approvals.key(tmp_path / "id")), load(approvals.key(tmp_path / "other"))
    with pytest.raises(SecretError, match="the signature that this key created is not valid: the signature does not match the file"):
        signing_key.SigningKey(key.public, other.sign).armored(b"x", "n")


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("4w", 672), ("366d", 8784)])
def test_periods(text: str, hours: int) -> None:
    assert Period().convert(text, None, None).total_seconds() == hours * 3600


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1.5d", "367d", "53w", "30 d", "1y", "\u0663d"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Period().convert(text, None, None)


def test_names() -> None:
    assert Names().convert("a, b", None, None) == ("a", "b")


def test_the_site_must_allow_the_name_with_the_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "signers").write_text(
        approvals.line(ANNA, tmp_path / "id") + approvals.line(approvals.BEN, approvals.key(tmp_path / "other"))
    )
    (tmp_path / "site.toml").write_text('allowed_signers = "signers"\n')
    monkeypatch.setenv(policy.VARIABLE, str(tmp_path / "site.toml"))
    for by, key in ((approvals.BEN, "id"), (ANNA, "other"), ("carla@example.com", "id")):
        assert run(monkeypatch, "--by", by, "--key", key) == 5
        said = capsys.readouterr().err
        assert "nbserver would not accept an approval that is signed with this name and key: " in said and by in said
    assert not (folder / "approvals").exists()
    assert run(monkeypatch) == 0


def test_the_answer_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--modes", "plan", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    validate("answer", answer)
    assert answer["sha256"] == hashlib.sha256((folder / "approvals" / Path(answer["file"]).name).read_bytes()).hexdigest()
    assert (answer["by"], answer["modes"], "win1" in answer["hosts"]) == (ANNA, ["plan"], True)
