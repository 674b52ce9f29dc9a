"""A host with the steps tls, openssl and certificate only, and the real command line run on it: seconds instead of minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from nbserver.base.errors import NbserverError
from nbserver.certificate.names import subject_alternative_names
from nbserver.cli import program
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.script import Script
from nbserver.transports.psrp.transport import PsrpTransport
from tests.boxes import artifacts
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, windows_path
from tests.boxes.winrm.endpoint import Endpoint
from tests.some_steps import script_of, shared_settings

PASSWORD = "Tr0ub4dor-2013"
STATE, SERVICE, OPENSSL = r"C:\ProgramData\nbserver", r"C:\ProgramData\nbserver\service", r"C:\Program Files\nbserver\openssl-3.5.7"
STEPS = ("tls", "openssl", "certificate")
NAMES = ("127.0.0.1", "win1.example.com")
EMPTY_STORES = r"""
foreach ($name in 'My', 'CA') {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store $name, 'LocalMachine'
    $store.Open('ReadWrite')
    foreach ($certificate in @($store.Certificates)) { $store.Remove($certificate) }
    $store.Close()
}
"""


def certificate_script(host: WindowsHost) -> Script:
    """The script of `host`: the shipped files, without the other steps."""
    settings: dict[str, Any] = {
        **shared_settings(host.name),
        "certificate": {
            "days": host.certificate.days,
            "names": subject_alternative_names(host),
            "source": host.certificate.source,
            "thumbprint": host.certificate.thumbprint,
        },
        # It is there already: nothing is downloaded from that address.
        "openssl": {
            "kind": "zip",
            "version": "3.5.7",
            "executable": [r"OpenSSL-Win64\bin\openssl.exe"],
            "url": "https://mirror.example.com/openssl-3.5.7.zip",
            "sha256": "0" * 64,
            "size": None,
            "sources": [],
        },
    }
    return script_of(settings, (), STEPS)


@dataclass(frozen=True)
class Ran:
    """A command: its exit code, what it printed, the error that a person would see, and the events of its run."""

    code: int
    out: str
    error: str
    events: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def failure(self) -> str:
        return " ".join(str(one["text"]) for one in self.of("failed"))


class CertificateSite:
    """`folder` holds the inventory, what it names, and the runs."""

    def __init__(self, folder: Path, windows: WindowsBox, endpoint: Endpoint, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.windows, self.endpoint, self._capture = folder, windows, endpoint, capture
        self.service, self.state = windows.path(SERVICE), windows.path(STATE)
        self.write()

    def write(self, names: Sequence[str] = NAMES[1:], **certificate: Any) -> None:
        """Writes the inventory; `certificate` is its table, dotted keys with `__`."""
        assert self.endpoint.certificate
        settings = {
            "system": "windows",
            "address": "127.0.0.1",
            "port": self.endpoint.port,
            "auth": "basic",
            "user": self.endpoint.user,
            "password.env": "SITE_PASSWORD",
            "fingerprint": self.endpoint.certificate.fingerprint,
            "notebook.password.env": "SITE_PASSWORD",
            "certificate.names": list(names),
            **{f"certificate.{key.replace('__', '.')}": value for key, value in certificate.items()},
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (self.folder / "nbserver.toml").write_text("\n".join(["[hosts.win1]", *lines, ""]))

    @property
    def host(self) -> WindowsHost:
        return reader.load(self.folder / "nbserver.toml").hosts["win1"]

    def secret_file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def run(self, *arguments: str) -> Ran:
        """`nbserver ARGUMENTS... -i INVENTORY`, in this process."""
        before = set(self._runs())
        error = ""
        self._capture.readouterr()
        try:
            code = program.cli.main([*arguments, "-i", str(self.folder / "nbserver.toml")], standalone_mode=False)
        except NbserverError as refused:
            code, error = refused.exit_code, str(refused)
        except click.ClickException as refused:
            code, error = refused.exit_code, refused.format_message()
        new = [run for run in self._runs() if run not in before]
        lines = (new[0] / "win1" / "events.jsonl").read_text("utf-8").splitlines() if new and (new[0] / "win1").is_dir() else []
        return Ran(code, self._capture.readouterr().out, error, [json.loads(line) for line in lines])

    def _runs(self) -> list[Path]:
        folder = self.folder / "nbserver-runs"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def file(self, name: str) -> str:
        """A file of the service's folder."""
        return (self.service / name).read_text("utf-8")

    def files(self) -> list[str]:
        """What stands in the service's folder."""
        return sorted(path.name for path in self.service.iterdir()) if self.service.is_dir() else []

    def ask(self, script: str, envelope: Sequence[str] = ("-",)) -> list[str]:
        """What a few lines of PowerShell, or a script with its envelope, say on the host."""
        transport = PsrpTransport(self.host, PASSWORD, threading.Event())
        try:
            return list(transport.run(script, envelope))
        finally:
            transport.close()

    def prepare(self) -> None:
        """The host as before any run, with OpenSSL in its place."""
        shutil.rmtree(self.state, ignore_errors=True)
        place = self.windows.path(OPENSSL)
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(artifacts.windows_folder() / artifacts.OPENSSL_ZIP) as archive:
                archive.extractall(place)

    def by_hand(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """The script, copied to the host and run there without the orchestrator."""
        script = self.windows.path(r"C:\win1.ps1")
        script.write_text(certificate_script(self.host).text)
        command = [*self.windows.scheduler.powershell, "-NoProfile", "-File", windows_path(script), *arguments]
        try:
            return subprocess.run(
                command, env=environment(self.windows.prefix), stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False
            )
        finally:
            script.unlink()

    def clean_up(self) -> None:
        self.ask(EMPTY_STORES)
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.windows.path(OPENSSL).parent, ignore_errors=True)
        shutil.rmtree(self.windows.path(r"C:\nbserver-test\certificates"), ignore_errors=True)
