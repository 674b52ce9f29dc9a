"""The certificate authorities of the workstation, for a program that takes only a file of them."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n")


def pem() -> str:
    """Return the authorities that Python's ssl module trusts, in PEM. What cannot be read is left out."""
    found = dict.fromkeys(map(ssl.DER_cert_to_PEM_cert, ssl.create_default_context().get_ca_certs(binary_form=True)))
    folder = ssl.get_default_verify_paths().capath  # is read only when a certificate is looked for
    for name in sorted(os.listdir(folder)) if folder else ():  # noqa: PTH208 (names only)
        with suppress(OSError):
            found |= dict.fromkeys(_CERTIFICATE.findall(Path(str(folder), name).read_text("ascii", "replace")))
    return "".join(found)
