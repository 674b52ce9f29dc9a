"""Signed scripts: what a signature block may be, and that osslsigncode makes and accepts it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import audit, manifest, signature
from nbserver.approval.manifest_check import require_manifest
from nbserver.base.errors import UsageError
from nbserver.cli import program
from nbserver.commands import signing
from nbserver.commands.signing import Signer
from nbserver.inventory.local_linux_host import LocalLinuxHost
from tests.checkout import CHECKOUT
from tests.code_signing import PASSWORD, signer
from tests.rendered_folders import MANIFEST, put, sign_all, with_hashes
from tests.unit.approval.audited import files, refused

__all__ = ["files", "signer"]

SAMPLE = str(CHECKOUT / "nbserver.sample.toml")


@pytest.fixture(scope="module")
def signed(files: dict[str, bytes], signer: Signer) -> dict[str, bytes]:
    return sign_all(files, signer)


def test_a_signed_script_is_the_script_and_a_block(files: dict[str, bytes], signed: dict[str, bytes], signer: Signer) -> None:
    assert signature.split(signed["win1.ps1"]) == (files["win1.ps1"], "CN=Code Signing Test")
    assert signed["lin1.sh"] == files["lin1.sh"]
    before, after = (json.loads(found[MANIFEST])["hosts"] for found in (files, signed))
    assert after["win1"].pop("signed_sha256") == hashlib.sha256(signed["win1.ps1"]).hexdigest()
    assert before["win1"].pop("signed_sha256") is None
    assert before == after  # what is published and what is sent has the same hashes
    last = files["win1.ps1"].splitlines()[-1]
    assert last.startswith(b"# ==== end: only a signature block may follow =")
    with_key = signing.sign(
        "win1.ps1", files["win1.ps1"], Signer(signer.certificate.with_name("cert.pem"), signer.certificate.with_name("key.pem"))
    )
    assert signature.split(with_key)[0] == files["win1.ps1"]


def test_what_windows_powershell_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must leave standard input alone, and PowerShell 7 names modules that it cannot load."""
    started: list[tuple[list[str], bytes, set[str]]] = []

    def run(command: list[str], *, input: bytes, env: dict[str, str], **more: object) -> subprocess.CompletedProcess[bytes]:
        started.append((command, input, {name.upper() for name in env}))
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("PSModulePath", "C:\\Program Files\\PowerShell\\7\\Modules")
    signing._with_powershell(Signer(Path("own.pfx"), password="g\u00e9heim"), Path("script.ps1"))
    ((command, given, names),) = started
    assert given.decode() == "g\u00e9heim\n" and "UTF8" in command[-1] and "-InputFormat None" in " ".join(command)
    assert "NBSERVER_SIGN_FILE" in names and "PSMODULEPATH" not in names


def test_osslsigncode_verifies_it(signed: dict[str, bytes], signer: Signer, tmp_path: Path) -> None:
    put(signed, tmp_path / "rendered")
    command = ["osslsigncode", "verify", "-CAfile", str(signer.certificate.with_name("cert.pem")), "-in"]
    path = tmp_path / "rendered" / "win1.ps1"
    assert subprocess.run([*command, str(path)], check=False, capture_output=True).returncode == 0
    path.write_bytes(signed["win1.ps1"].replace(b"9999", b"9998", 1))
    assert subprocess.run([*command, str(path)], check=False, capture_output=True).returncode == 1


def test_it_is_audited(signed: dict[str, bytes], files: dict[str, bytes], tmp_path: Path) -> None:
    report = "\n".join(audit.audit(put(signed, tmp_path / "rendered")))
    assert (
        f"signed sha256 {hashlib.sha256(signed['win1.ps1']).hexdigest()}, as CN=Code Signing Test; the signature itself was not" in report
    )
    assert "expected " in refused({**signed, "win1.ps1": files["win1.ps1"]}, tmp_path)
    assert "expected " in refused({**files, "win1.ps1": signed["win1.ps1"]}, tmp_path)
    foreign = with_hashes({**signed, "win1.ps1": signed["win1.ps1"] + b"Remove-Item C:\\\r\n"})
    assert "the text after the last line of the body is not a signature block" in refused(foreign, tmp_path)
    changed = with_hashes({**signed, "win1.ps1": signed["win1.ps1"].replace(b"9999", b"9998", 1)})
    assert "the signature block is for a different script" in refused(changed, tmp_path)


def test_a_script_for_linux_has_no_signature(signed: dict[str, bytes], signer: Signer, tmp_path: Path) -> None:
    """Whatever follows the last line of a body would run: bash does not know a signature block."""
    forged = with_hashes({**signed, "lin1.sh": signing.sign("lin1.sh", signed["lin1.sh"], signer)})
    assert "hosts.lin1.signed_sha256: must be null, because scripts for Linux are never signed" in refused(forged, tmp_path)


def test_what_is_sent_is_approved_by_the_manifest_of_the_signed(signed: dict[str, bytes]) -> None:
    content = json.loads(signed[MANIFEST])
    require_manifest(content)
    assert content["v"] == manifest.VERSION
    content["hosts"]["win1"]["signed_sha256"] = "x"
    with pytest.raises(ValueError, match="signed_sha256"):
        require_manifest(content)


LINES = {
    "code": lambda block: block.replace(b"\r\n# SIG # End", b"\r\nexit 1\r\n# SIG # End"),
    "two": lambda block: block * 2,
    "after": lambda block: block + b"x",
    "line feed": lambda block: block.replace(b"\r\n", b"\n"),
    "no end": lambda block: block.rpartition(b"# SIG")[0],
    "long line": lambda block: block.replace(b"block\r\n# MII", b"block\r\n# AAAAMII"),
    "comment": lambda block: block.replace(b"# MII", b"#  MII", 1),
    "truncated": lambda block: block.replace(block.split(b"\r\n")[5] + b"\r\n", b""),
    "padding": lambda block: _encoded(_der(block) + b"\0"),
    "not SignedData": lambda block: _encoded(
        _der(block).replace(bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010701"), 1)
    ),
    "not Authenticode": lambda block: _encoded(
        _der(block).replace(bytes.fromhex("2b060104018237020104"), bytes.fromhex("2b060104018237020105"))
    ),
    "no block": lambda block: b"",
}


def _der(block: bytes) -> bytes:
    return base64.b64decode(b"".join(line[2:] for line in block.split(b"\r\n")[2:-2]))


def _encoded(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = b"".join(b"# " + text[at : at + 64] + b"\r\n" for at in range(0, len(text), 64))
    return signature.BEGIN + lines + signature.END


@pytest.mark.parametrize("change", LINES.values(), ids=LINES)
def test_only_one_well_formed_block_may_follow(signed: dict[str, bytes], change: Callable[[bytes], bytes]) -> None:
    text, begin, rest = signed["win1.ps1"].partition(signature.BEGIN)
    assert _encoded(_der(begin + rest)) == begin + rest
    with pytest.raises(ValueError, match="signature block"):
        signature.split(text + change(begin + rest))


def test_the_line_endings_are_those_of_windows(signed: dict[str, bytes]) -> None:
    text, begin, rest = signed["win1.ps1"].partition(signature.BEGIN)
    for changed in (text.replace(b"\r\n", b"\n"), text.replace(b"\r\n", b"\n", 1), text + b"\r", text.replace(b"\r\n", b"\r\r\n", 1)):
        with pytest.raises(ValueError, match="CRLF"):
            signature.split(changed + begin + rest)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    for text in (data, b"x" + signature.BEGIN + data, b"x" + _encoded(data)):
        with pytest.raises(ValueError, match="signature block"):
            signature.split(text)


# ---- the command


def render(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as changed, pytest.raises(SystemExit) as ended:
        changed.setattr("sys.argv", ["nbserver", "render", "win1", "-i", SAMPLE, *arguments])
        program.main()
    return int(ended.value.code or 0)


def test_render_signs(signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGN_PASSWORD", PASSWORD)
    out = ("-o", str(tmp_path / "out"))
    assert render(*out, "--sign", str(signer.certificate), "--sign-password", "env=SIGN_PASSWORD") == 0
    assert hashlib.sha256((tmp_path / "out" / "win1.ps1").read_bytes()).hexdigest() in capsys.readouterr().out
    assert audit.audit(tmp_path / "out")
    assert render(*out, "--check") == 0
    path = tmp_path / "out" / "win1.ps1"
    path.write_bytes(path.read_bytes() + b"\r\n")
    assert render(*out, "--check") == 5
    assert "not a signature block" in capsys.readouterr().err


REFUSED = {
    "a wrong password": (("--sign", "PFX", "--sign-password", "env:WRONG_PASSWORD"), "the script could not be signed ("),
    "no password": (("--sign", "PFX"), "the script could not be signed ("),
    "a missing file": (("--sign", "missing.pfx"), "missing.pfx: the file does not exist"),
    "a password without --sign": (("--sign-password", "env:WRONG_PASSWORD"), "require --sign"),
    "--check": (("--sign", "PFX", "--check"), "--sign cannot be combined with --check"),
    "the password itself": (
        ("--sign", "PFX", "--sign-password", "Tr0ub4dor&3"),
        "must be a reference to the secret, not the secret itself",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_render_refuses(
    arguments: tuple[str, ...],
    message: str,
    signer: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WRONG_PASSWORD", "Tr0ub4dor&3")
    given = [str(signer.certificate) if argument == "PFX" else argument for argument in arguments]
    assert render("-o", str(tmp_path / "out"), *given) == 2
    said = capsys.readouterr().err
    assert message in said and "Tr0ub4dor" not in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_linux_host_has_nothing_to_sign(signer: Signer) -> None:
    with pytest.raises(UsageError, match="none of these hosts has a PowerShell script"):
        signing.signing([LocalLinuxHost.model_validate({"scope": "user"})], signer)


def test_without_the_program_it_is_named(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (tmp_path / "cert.pfx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"requires osslsigncode.*Install osslsigncode 2\.9 or newer"):
        signing.sign("win1.ps1", files["win1.ps1"], Signer(tmp_path / "cert.pfx"))
