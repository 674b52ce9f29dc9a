"""A certificate for code signing, and osslsigncode, which signs with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nbserver.commands.signing import Signer

PASSWORD = "correct horse battery"
NEEDED = (2, 9)  # the first that was tried with PowerShell scripts; 2.5, of Debian 12, does not know them


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A PFX; next to it are cert.pem and key.pem of the same certificate."""
    found = shutil.which("osslsigncode")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout if found else ""
    number = re.search(r"osslsigncode (\d+)\.(\d+)", said)
    if not number or (int(number[1]), int(number[2])) < NEEDED:
        pytest.skip("this needs osslsigncode 2.9 or newer (Debian 12: from backports)")
    folder = tmp_path_factory.mktemp("signer")
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Code Signing Test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(300))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    closed = serialization.BestAvailableEncryption(PASSWORD.encode())
    (folder / "cert.pfx").write_bytes(pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, closed))
    return Signer(folder / "cert.pfx", password=PASSWORD)
