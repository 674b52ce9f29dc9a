"""The names of a certificate as the scripts read them off its bytes, held against the certificates that `cryptography` makes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbserver.certificate import chain
from tests.authority import DAY, NOW, ec_key, named, pem, san
from tests.powershell.engine import Session, prelude, require_engine

KEY = ec_key()
READ = r"""
$lines = @($input)
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [Convert]::FromBase64String($lines[0]))
@(Get-CertificateName $certificate) -join ' '
@($lines | Select-Object -Skip 1 | ForEach-Object { Format-Name $_ }) -join ' '
Format-Certificate $certificate
"""

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
dns_names = st.lists(label, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.rpartition(".")[2].isdigit())
names = dns_names | dns_names.map("*.{}".format) | st.ip_addresses().map(str)
# An address as a DNS name is not valid for this address.
# Python and .NET write addresses that contain one of IPv4 in different ways, such as ::ffff:1:0 and ::ffff:0.1.0.0.
addresses = st.ip_addresses().filter(lambda one: one.version == 4 or int(one) >> 32 not in (0, 0xFFFF)).map(str)
# Names of other kinds are passed over.
others = st.sampled_from(
    [x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("https://x.example.com/"), x509.DirectoryName(named("x"))]
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "der", "certificates", "certificate_rules", "certificate_store"))
        yield opened


def certificate(kinds: list[x509.GeneralName]) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(named("x"))
        .issuer_name(named("x"))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    if kinds:
        builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
    return builder.sign(KEY, hashes.SHA256())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(names, max_size=12, unique=True), st.lists(others, max_size=2), st.lists(addresses, max_size=1))
def test_the_host_reads_the_names_that_the_workstation_reads(
    session: Session, wanted: list[str], more: list[x509.GeneralName], as_dns: list[str]
) -> None:
    made = certificate([*more, *(san(name) for name in wanted), *map(x509.DNSName, as_dns)])
    lines = [base64.b64encode(made.public_bytes(Encoding.DER)).decode(), *wanted]
    read, expected, text = session.run(READ, lines)
    assert read.split() == [*expected.split(), *(f"DNS:{address}" for address in as_dns)]
    assert set(chain.san_names(made)) == {*wanted, *(f"DNS:{address}" for address in as_dns)}
    assert text == pem(made)
