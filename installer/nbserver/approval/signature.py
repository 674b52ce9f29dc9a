"""The Authenticode signature block that may follow the body of a PowerShell script.

A signed script has CRLF line endings, because Windows hashes the text with them in some releases and as it is in others.
Without the block and with LF, it is the unsigned script, byte for byte. The signed digest is the SHA-256 of the UTF-16LE
text before the block (osslsigncode, script.c).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from nbserver.base.errors import ApprovalError
from nbserver.base.message import DescribedError, cause, message
from nbserver.base.plain_text import clean

BEGIN = b"\r\n# SIG # Begin signature block\r\n"
RENDER = message("render-and-sign-again", "Run nbserver render again, then sign the scripts again")
END = b"# SIG # End signature block\r\n"
_BLOCK = re.compile(re.escape(BEGIN) + rb"((?:# [A-Za-z0-9+/]{64}\r\n){0,999}# [A-Za-z0-9+/]{1,64}={0,2}\r\n)" + re.escape(END))
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2
_INDIRECT_DATA = bytes.fromhex("060a2b060104018237020104")  # 1.3.6.1.4.1.311.2.1.4
_SHA256_DIGEST = bytes.fromhex("3031300d060960864801650304020105000420")


def to_sign(text: bytes) -> bytes:
    """Return the text of an unsigned script with CRLF line endings, as it is signed."""
    return text.replace(b"\n", b"\r\n")


def is_signed(data: bytes) -> bool:
    """Return whether a file has the first line of a signature block."""
    return BEGIN in data


def split(data: bytes) -> tuple[bytes, str]:
    """Return the unsigned script with LF line endings, and the subject of the signer.

    Raises ValueError unless the rest of the file is one well-formed signature block for exactly this text. Nothing says whether
    the signature is valid or who the signer is: that is for `osslsigncode verify` or Get-AuthenticodeSignature.
    """
    signed, begin, rest = data.partition(BEGIN)
    block = _BLOCK.fullmatch(begin + rest)
    if block is None:
        raise DescribedError("signature-block-malformed", "the text after the last line of the body is not a signature block")
    text = signed.replace(b"\r\n", b"\n")
    if to_sign(text) != signed or b"\r" in text:
        raise DescribedError("signed-line-endings", "a signed script must have CRLF line endings throughout")
    return text, _signer(block[1], signed)


def require(data: bytes, where: str) -> tuple[bytes, str]:
    """Return what `split` returns. `where` is for messages. Raises ApprovalError."""
    try:
        return split(data)
    except ValueError as error:
        raise ApprovalError(
            "script-signature-invalid",
            "the script's signature is not valid: {reason}",
            where=where,
            todo="Run nbserver render --sign again",
            reason=cause(error),
        ) from None


def _signer(lines: bytes, signed: bytes) -> str:
    der = _decoded(lines.replace(b"# ", b"").replace(b"\r\n", b""))
    digest = hashlib.sha256(signed.decode("latin-1").encode("utf-16-le")).digest()
    if _SHA256_DIGEST + digest not in der:
        raise DescribedError("signature-of-other-text", "the signature block is for a different script, or does not use SHA-256")
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:
        certificates = pkcs7.load_der_pkcs7_certificates(der)
    except ValueError:
        certificates = []
    if not certificates:
        raise DescribedError("signature-without-certificate", "the signature block contains no readable certificate")
    issuers = {certificate.issuer.public_bytes() for certificate in certificates}
    leaves = [certificate for certificate in certificates if certificate.subject.public_bytes() not in issuers]
    name = clean((leaves or certificates)[0].subject.rfc4514_string(), 200)
    return name.encode("ascii", "backslashreplace").decode("ascii")


def _decoded(text: bytes) -> bytes:
    """Return the DER of the signature. Raises DescribedError unless it is one PKCS #7 SignedData with Authenticode's content."""
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        der = b""
    length = int.from_bytes(der[2:4]) if der[:2] == b"\x30\x82" else -1
    whole = base64.b64encode(der) == text and length == len(der) - 4
    if not whole or der[4:15] != _SIGNED_DATA or _INDIRECT_DATA not in der:
        raise DescribedError("signature-not-authenticode", "the signature block does not contain an Authenticode signature")
    return der
