"""Sign PowerShell scripts with Authenticode: with osslsigncode or, on Windows, with Set-AuthenticodeSignature.

The password goes through standard input, so it is in no argument list, variable, or file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.approval import manifest, signature
from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import cause
from nbserver.base.plain_text import clean
from nbserver.base.strict_json import parse

SECONDS = 120
OSSLSIGNCODE = "osslsigncode"
INSTALL = "Install osslsigncode 2.9 or newer"
# Not tried on Windows: the engine of the tests cannot sign.
POWERSHELL = """\
$ErrorActionPreference = 'Stop'
$password = [Console]::In.ReadLine()
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2($env:NBSERVER_SIGN_WITH, $password)
$result = Set-AuthenticodeSignature -LiteralPath $env:NBSERVER_SIGN_FILE -Certificate $certificate -HashAlgorithm SHA256
if ($result.SignerCertificate -eq $null) { throw $result.StatusMessage }
"""


@dataclass(frozen=True)
class Signer:
    """`certificate` is a PFX, or a PEM with the certificate and its chain; `key` is the PEM of the key."""

    certificate: Path
    key: Path | None = None
    password: str = field(default="", repr=False)


def sign_all(found: Mapping[str, bytes], signer: Signer) -> dict[str, bytes]:
    """Return the files of a rendered folder with every PowerShell script signed, and the manifest with the hashes of what is signed.

    Raises UsageError if there is nothing to sign or a script could not be signed.
    """
    scripts = [name for name in sorted(found) if name.endswith(".ps1")]
    if not scripts:
        raise UsageError("nothing-to-sign", "none of these hosts has a PowerShell script to sign", todo="Leave out --sign")
    return with_hashes({**found, **{name: sign(name, found[name], signer) for name in scripts}})


def with_hashes(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with a manifest that names the hash of each signed script."""
    content = parse(found[manifest.FILE_NAME])
    for entry in content["hosts"].values():
        data = found[entry["script"]]
        entry["signed_sha256"] = hashlib.sha256(data).hexdigest() if signature.is_signed(data) else None
    return {**found, manifest.FILE_NAME: manifest.to_text(content).encode("ascii")}


def keep_signatures(found: Mapping[str, bytes], folder: Path, names: set[str]) -> dict[str, bytes]:
    """Return the files with the signed scripts of `folder` that are exactly the rendered ones with a signature block."""
    kept = dict(found)
    for name in names & found.keys():
        data = plain_file.read(folder / name, len(found[name]) * 2 + 1_000_000, advice=signature.RENDER) if name.endswith(".ps1") else b""
        if signature.is_signed(data):
            try:
                text, _ = signature.split(data)
            except ValueError as error:
                raise ApprovalError("signed-script-invalid", "{reason}", where=name, todo="Sign it again", reason=cause(error)) from None
            kept[name] = data if text == found[name] else found[name]
    return with_hashes(kept)


def sign(name: str, text: bytes, signer: Signer) -> bytes:
    """Return a script with CRLF line endings and a signature block. Raises UsageError."""
    for path in filter(None, (signer.certificate, signer.key)):
        if not path.is_file():
            raise UsageError("signing-file-missing", "the file does not exist", where=plain_file.shown(path), todo="Correct the path")
    with tempfile.TemporaryDirectory(prefix="nbserver-sign-") as folder:
        before, after = Path(folder, "unsigned.ps1"), Path(folder, "signed.ps1")
        before.write_bytes(signature.to_sign(text))
        program = shutil.which(OSSLSIGNCODE)
        if program:
            _run(_osslsigncode(program, signer, before, after), signer, {})
        elif os.name == "nt":
            _with_powershell(signer, before.rename(after))
        else:
            raise UsageError("osslsigncode-missing", "--sign needs the program osslsigncode, which was not found", todo=INSTALL)
        try:
            signed = after.read_bytes()
            if signature.split(signed)[0] == text:
                return signed
        except (OSError, ValueError):
            pass
    raise UsageError("not-signed", "{file} could not be signed: the result is not the script and a signature", todo=INSTALL, file=name)


def _osslsigncode(program: str, signer: Signer, before: Path, after: Path) -> list[str]:
    identity = ["-certs", str(signer.certificate), "-key", str(signer.key)] if signer.key else ["-pkcs12", str(signer.certificate)]
    return [program, "sign", *identity, "-readpass", "-", "-h", "sha256", "-in", str(before), "-out", str(after)]


def _with_powershell(signer: Signer, path: Path) -> None:
    if signer.key:
        raise UsageError(
            "sign-needs-pfx", "without osslsigncode, Windows signs only with a PFX file", todo="Use a PFX, or install osslsigncode"
        )
    program = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), r"System32\WindowsPowerShell\v1.0\powershell.exe"))
    command = [program, "-NoProfile", "-NonInteractive", "-Command", POWERSHELL]
    _run(command, signer, {"NBSERVER_SIGN_WITH": str(signer.certificate.absolute()), "NBSERVER_SIGN_FILE": str(path)})


def _run(command: list[str], signer: Signer, variables: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            input=signer.password.encode("utf-8") + b"\n",
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, **variables},
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UsageError("signing-program-failed", "{program} could not be run", todo=INSTALL, program=Path(command[0]).name) from None
    if done.returncode:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines() or [""]
        reason = clean(said[0], 300).replace(signer.password, "*****") if signer.password else clean(said[0], 300)
        raise UsageError(
            "signing-failed",
            "the script could not be signed ({reason})",
            where=plain_file.shown(signer.certificate),
            todo="Check the certificate, its key, and the password",
            reason=reason,
        )
