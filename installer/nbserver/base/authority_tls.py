"""TLS connections to a server with a certificate of certain authorities, which are given as the contents of a PEM file."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from nbserver.base.pinned_tls import SystemTrustAdapter, tls_context

if TYPE_CHECKING:
    from nbserver.base.allowance import Allowance


def pem_text(data: bytes) -> str:
    """Return the contents of a PEM file as ssl takes them, never empty. Comments in it may be in any language."""
    return data.decode("ascii", "ignore") + "\n"  # for an empty text, ssl would trust the authorities of the system


class AuthorityAdapter(SystemTrustAdapter):
    """Trusts these authorities in place of those of the system. Raises ssl.SSLError if `authorities` has no certificate in PEM."""

    def __init__(self, authorities: bytes) -> None:
        self._authorities = authorities
        super().__init__()

    def _context(self, allowance: Allowance | None) -> ssl.SSLContext:
        return tls_context(None, allowance, pem_text(self._authorities))
