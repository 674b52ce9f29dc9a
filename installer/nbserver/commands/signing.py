"""Sign PowerShell scripts with Authenticode: with osslsigncode or, on Windows, with Set-AuthenticodeSignature.

The password goes through standard input, so it is in no argument list, variable, or file.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import signature
from nbserver.base import plain_file
from nbserver.base.errors import UsageError
from nbserver.base.plain_text import clean
from nbserver.inventory.by_kind import ByKind
from nbserver.settings import program_output

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost

SECONDS = 120
OSSLSIGNCODE = "osslsigncode"
INSTALL = "Install osslsigncode 2.9 or newer"
# -InputFormat None: PowerShell leaves standard input to the command. -OutputFormat Text: errors are text, not CLIXML.
OPTIONS = ("-NoProfile", "-NonInteractive", "-InputFormat", "None", "-OutputFormat", "Text", "-Command")
# Not tried on Windows: the engine of the tests cannot sign.
POWERSHELL = """\
$ErrorActionPreference = 'Stop'
$password = (New-Object IO.StreamReader ([Console]::OpenStandardInput()), ([Text.Encoding]::UTF8)).ReadLine()
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


_can_be_signed = ByKind(
    windows=lambda host: True, linux=lambda host: False, local_windows=lambda host: True, local_linux=lambda host: False
)


def signing(hosts: Iterable[AnyHost], signer: Signer) -> Callable[[str, bytes], bytes]:
    """Return a function that signs a PowerShell script and returns any other as it is. Raises UsageError if there is nothing to sign."""
    if not any(_can_be_signed(host) for host in hosts):
        raise UsageError("nothing-to-sign", "none of these hosts has a PowerShell script to sign", todo="Run the command without --sign")
    return lambda name, data: sign(name, data, signer) if name.endswith(".ps1") else data


def kept_in(folder: Path) -> Callable[[str, bytes], bytes]:
    """Return a function that returns the signed script of `folder` if it is exactly the rendered one with a signature block."""
    names = plain_file.names(folder)

    def kept(name: str, rendered: bytes) -> bytes:
        if name not in names or not name.endswith(".ps1"):
            return rendered
        data = plain_file.read(folder / name, len(rendered) * 2 + 1_000_000, advice=signature.RENDER)
        if not signature.is_signed(data):
            return rendered
        text, _ = signature.require(data, name)
        return data if text == rendered else rendered

    return kept


def sign(name: str, text: bytes, signer: Signer) -> bytes:
    """Return a script with CRLF line endings and a signature block. Raises UsageError."""
    for path in filter(None, (signer.certificate, signer.key)):
        if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises PermissionError)
            raise UsageError(
                "signing-file-missing",
                "the file does not exist",
                where=plain_file.shown(path),
                todo="Specify an existing file with --sign and --sign-key",
            )
    with tempfile.TemporaryDirectory(prefix="nbserver-sign-") as folder:
        before, after = Path(folder, "unsigned.ps1"), Path(folder, "signed.ps1")
        before.write_bytes(signature.to_sign(text))
        program = program_output.search(OSSLSIGNCODE)
        if program:
            _run(_osslsigncode(program, signer, before, after), signer, {})
        elif os.name == "nt":
            _with_powershell(signer, before.rename(after))
        else:
            raise UsageError("osslsigncode-missing", "--sign requires osslsigncode, which is not installed", todo=INSTALL)
        try:
            signed = after.read_bytes()
            if signature.split(signed)[0] == text:
                return signed
        except (OSError, ValueError):
            pass
    raise UsageError("not-signed", "could not sign {file}: the signing program did not return a signed script", todo=INSTALL, file=name)


def _osslsigncode(program: str, signer: Signer, before: Path, after: Path) -> list[str]:
    identity = ["-certs", str(signer.certificate), "-key", str(signer.key)] if signer.key else ["-pkcs12", str(signer.certificate)]
    return [program, "sign", *identity, "-readpass", "-", "-h", "sha256", "-in", str(before), "-out", str(after)]


def _with_powershell(signer: Signer, path: Path) -> None:
    if signer.key:
        raise UsageError(
            "sign-needs-pfx",
            "without osslsigncode, scripts can be signed on Windows only with a PFX file",
            todo="Specify a PFX file with --sign, or install osslsigncode 2.9 or newer",
        )
    program = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), r"System32\WindowsPowerShell\v1.0\powershell.exe"))
    command = [program, *OPTIONS, POWERSHELL]
    _run(command, signer, {"NBSERVER_SIGN_WITH": str(signer.certificate.absolute()), "NBSERVER_SIGN_FILE": str(path)})


def _run(command: list[str], signer: Signer, variables: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            input=signer.password.encode("utf-8") + b"\n",
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**_environment(), **variables},
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UsageError("signing-program-failed", "could not run {program}", todo=INSTALL, program=Path(command[0]).name) from None
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


def _environment() -> dict[str, str]:
    """Return the environment for the signing program. PowerShell 7 adds modules to PSModulePath that Windows PowerShell cannot load."""
    return {name: value for name, value in os.environ.items() if name.upper() != "PSMODULEPATH"}
