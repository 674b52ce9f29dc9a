"""Paths from a certificate to its authorities. If one authority has several certificates (cross-signing), there are several paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

MOST = 1000  # paths that are compared; a file from an authority has two or three


def reachable(leaf: x509.Certificate, issuers: Mapping[x509.Certificate, Sequence[x509.Certificate]]) -> set[x509.Certificate]:
    """Return the certificate and all authorities above it. `issuers` has the certificates that could have issued each one."""
    above, new = {leaf}, [leaf]
    while new:
        new = [issuer for one in new for issuer in issuers[one] if issuer not in above]
        above.update(new)
    return above


def best(
    leaf: x509.Certificate,
    issuers: Mapping[x509.Certificate, Sequence[x509.Certificate]],
    *,
    is_root: Callable[[x509.Certificate], bool],
    now: datetime,
) -> list[x509.Certificate]:
    """Return the certificate and the authorities to send with it, without a root.

    A path on which all are valid at `now` comes first, then the longest one: a client stops at the first authority that it trusts.
    """

    def rank(path: list[x509.Certificate]) -> tuple[bool, int]:
        return all(one.not_valid_before_utc <= now < one.not_valid_after_utc for one in path), len(path)

    paths = [path[:-1] if len(path) > 1 and is_root(path[-1]) else path for path in islice(_all([leaf], issuers), MOST)]
    return max(paths, key=rank)


def _all(path: list[x509.Certificate], issuers: Mapping[x509.Certificate, Sequence[x509.Certificate]]) -> Iterator[list[x509.Certificate]]:
    """Yield every path that cannot be continued. Two authorities may have signed each other."""
    seen = set(map(_authority, path))
    higher = [issuer for issuer in issuers[path[-1]] if _authority(issuer) not in seen]
    if not higher:
        yield path
    for issuer in higher:
        yield from _all([*path, issuer], issuers)


def _authority(certificate: x509.Certificate) -> tuple[x509.Name, bytes]:
    """Return what all certificates of one authority have in common: its name and key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return certificate.subject, certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
