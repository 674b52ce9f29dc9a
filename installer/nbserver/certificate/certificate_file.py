"""The certificates in a file: PEM, or PKCS#7 (.p7b) in PEM or DER, as authorities and Windows write them."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from nbserver.base.text_encoding import utf_16

if TYPE_CHECKING:
    from cryptography import x509

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_X509 = (b"CERTIFICATE", b"X509 CERTIFICATE")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # the object identifier signedData of PKCS#7 in DER


def as_utf_8(data: bytes) -> bytes:
    """Return the bytes of a text file in UTF-8 without a byte order mark; all other bytes are unchanged."""
    encoding = utf_16(data)
    if encoding:
        return data.decode(encoding, "replace").removeprefix("\ufeff").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def certificates(data: bytes) -> list[x509.Certificate]:
    """Return the certificates in the order of the file. The list is empty if there are none, or if one cannot be read."""
    from cryptography import x509

    blocks = [match for match in _BLOCK.finditer(data) if match[1] in (*_X509, b"PKCS7", b"CMS")]
    if not blocks:
        return _of_pkcs7(data)
    found: list[x509.Certificate] = []
    for block in blocks:
        try:
            # Some authorities call PKCS#7 a CERTIFICATE.
            inner = _of_pkcs7(base64.b64decode(block[2])) or (x509.load_pem_x509_certificates(block[0]) if block[1] in _X509 else [])
        except (ValueError, x509.InvalidVersion):
            inner = []
        if not inner:
            return []
        found += inner
    return found


def _of_pkcs7(der: bytes) -> list[x509.Certificate]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

    if _SIGNED_DATA not in der[:30]:
        return []
    try:
        return load_der_pkcs7_certificates(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return []
