"""Whoever asks for the secrets of a host must have signed with the certificate of a worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from nbserver.run.cluster.worker_certificate import UNIT, NotAWorkerError, check, pem, sign
from tests.cluster.certificates import DAY, NOW, Certificates

DATA = b"the run, the host, and both keys"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("site"))


def proof(files: tuple[Path, Path], data: bytes = DATA) -> tuple[bytes, bytes]:
    certificate, key = files
    return certificate.read_bytes(), sign(key.read_bytes(), data)


def test_a_worker_is_accepted(site: Certificates) -> None:
    certificate, signature = proof((site.folder / "worker.pem", site.folder / "worker.key"))
    assert check(certificate, DATA, signature, site.ca.read_bytes()) == f"OU={UNIT},CN=worker"
    assert pem(certificate.decode()) == pem(str(site.folder / "worker.pem")) == certificate


@pytest.mark.parametrize("role", ["scheduler", "client"])
def test_others_of_the_cluster_are_not(site: Certificates, role: str) -> None:
    certificate, signature = proof((site.folder / f"{role}.pem", site.folder / f"{role}.key"))
    with pytest.raises(NotAWorkerError, match="organizational unit"):
        check(certificate, DATA, signature, site.ca.read_bytes())


def test_neither_is_a_worker_of_another_authority_nor_one_of_the_past(site: Certificates, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other")
    certificate, signature = proof((other.folder / "worker.pem", other.folder / "worker.key"))
    with pytest.raises(NotAWorkerError, match="no authority"):
        check(certificate, DATA, signature, site.ca.read_bytes())
    certificate, signature = proof(site.issue("old", UNIT, ends=NOW - DAY))
    with pytest.raises(NotAWorkerError, match="not valid now"):
        check(certificate, DATA, signature, site.ca.read_bytes())
    assert check(certificate, DATA, signature, site.ca.read_bytes(), NOW - DAY - timedelta(hours=1))


def test_a_copied_certificate_is_worth_nothing(site: Certificates) -> None:
    certificate, signature = proof((site.folder / "worker.pem", site.folder / "worker.key"))
    _, by_client = proof((site.folder / "worker.pem", site.folder / "client.key"))
    for data, wrong in ((b"another run", signature), (DATA, by_client), (DATA, b"")):
        with pytest.raises(NotAWorkerError, match="not valid"):
            check(certificate, data, wrong, site.ca.read_bytes())
    with pytest.raises(NotAWorkerError, match="not valid"):
        check(b"no certificate", DATA, signature, site.ca.read_bytes())
    assert isinstance(x509.load_pem_x509_certificate(certificate), x509.Certificate)
