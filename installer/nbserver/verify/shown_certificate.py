"""Check the certificate that a server presents, before anything is sent to it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance
from nbserver.base.errors import CertificateError
from nbserver.verify import notebook_client
from nbserver.verify.notebook_client import Address
from nbserver.verify.walk import Walk

if TYPE_CHECKING:
    pass


def check_certificate(walk: Walk, fingerprint: str | None) -> tuple[str, datetime]:
    """Return the fingerprint of the server's certificate and its expiry date, after checking that it is the expected one."""
    from cryptography import x509

    address = walk.address
    proxy = address.proxy
    seconds = notebook_client.REQUEST_SECONDS
    walk.allowance.exchange(seconds)
    try:
        with connect(address, fingerprint, proxy, walk.allowance) as tls:
            der = tls.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError as error:
        seconds = min(seconds, walk.allowance.left())
        shown = pinned_tls.certificate_at(address.host, address.port, timeout=seconds, proxy=proxy, dial=address.dial)
        raise CertificateError(
            "notebook-certificate-untrusted",
            "this workstation does not trust the notebook server's certificate {fingerprint}: {reason}",
            host=walk.host,
            todo="Run nbserver apply, which records the certificate. If a CA issued the certificate, make this workstation trust that CA",
            fingerprint=pinned_tls.fingerprint_of(shown),
            reason=error.verify_message,
        ) from None
    try:
        certificate = x509.load_der_x509_certificate(der)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, x509.InvalidVersion):
        raise CertificateError(
            "notebook-certificate-invalid",
            "the notebook server's certificate {fingerprint} is not a valid X.509 certificate",
            host=walk.host,
            todo="Run nbserver apply, which creates a new certificate",
            fingerprint=pinned_tls.fingerprint_of(der),
        ) from None
    now = datetime.now(UTC)
    if now < start:
        raise CertificateError(
            "notebook-certificate-not-yet",
            "the certificate is valid only from {start} UTC, but the clock of this workstation shows {now} UTC",
            host=walk.host,
            todo="Correct the clock that is wrong. If it is that of the host, then run nbserver apply, which creates a new certificate",
            start=f"{start:%Y-%m-%d %H:%M:%S}",
            now=f"{now:%Y-%m-%d %H:%M:%S}",
        )
    if now > end:
        raise CertificateError(
            "notebook-certificate-dates",
            "the certificate is valid only from {start} to {end}, so browsers reject it",
            host=walk.host,
            todo="Run nbserver apply, which creates a new certificate, or correct this workstation's clock",
            start=f"{start:%Y-%m-%d}",
            end=f"{end:%Y-%m-%d}",
        )
    return pinned_tls.fingerprint_of(der), end


def connect(address: Address, fingerprint: str | None, proxy: str | None, allowance: Allowance) -> ssl.SSLSocket:
    timeout = min(notebook_client.REQUEST_SECONDS, allowance.left())
    return pinned_tls.connect(
        address.host, address.port, fingerprint=fingerprint, timeout=timeout, proxy=proxy, dial=address.dial, allowance=allowance
    )
