"""The private key and certificate of a backup, checked before they are sent to a host."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nbserver.certificate import chain as certificate_chain
from nbserver.certificate.chain import ChainFault
from nbserver.certificate.workstation import ServerCertificate


def read(certificate: bytes, key: bytes, names: Sequence[str], now: datetime) -> ServerCertificate:
    """Return the key and certificate (PEM) of a backup. `names` are those of the host, as subject_alternative_names returns them.

    Raises ChainFault for a key that cannot be read, and for a certificate that is for another key, expired, or for other names.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private, text = load_pem_private_key(key, None), key.decode("ascii")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ChainFault(
            "restored-key-invalid", "the private key in the backup is not valid", todo="Restore the backup without --with-key"
        ) from None
    certificate_chain.check_key_type(private)
    found = certificate_chain.order(certificate_chain.read_pem(certificate), certificate_chain.spki(private.public_key()), now)
    certificate_chain.check(found, names, now)
    return ServerCertificate(certificate_chain.to_pem(found), text)
