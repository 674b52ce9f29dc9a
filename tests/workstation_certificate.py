"""A chain of certificates as it is on a workstation, and hosts whose inventory names its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from tests.authority import ec_key, intermediate, root

NAMES = ("192.0.2.7", "win1.example.com", "xn--bcher-kva.example.com", "2001:db8::7")
SECRET = "correct horse \u00e9"
ROOT = root()
FIRST = intermediate(ROOT, "first")
SECOND = intermediate(FIRST, "second")
KEY = ec_key()
LEAF = SECOND.sign(KEY.public_key(), NAMES)
CHAIN = (LEAF, SECOND.certificate, FIRST.certificate)


def host(folder: Path, certificate: str, names: Sequence[str] = NAMES[1:]) -> WindowsHost:
    """A host whose certificate table has these lines."""
    (folder / "nbserver.toml").write_text(
        f'[hosts.win1]\nsystem = "windows"\naddress = "192.0.2.7"\nnotebook.password = {{ prompt = true }}\ncertificate.names = {list(names)}\n{certificate}\n'
    )
    return reader.load(folder / "nbserver.toml").hosts["win1"]


def pem_host(folder: Path, chain: str | bytes, key: str, more: str = "", names: Sequence[str] = NAMES[1:]) -> WindowsHost:
    (folder / "server.pem").write_bytes(chain if isinstance(chain, bytes) else chain.encode())
    (folder / "server.key").write_text(key)
    (folder / "server.key").chmod(0o600)
    return host(folder, f'certificate.file = "server.pem"\ncertificate.key = {{ file = "server.key" }}\n{more}', names)
