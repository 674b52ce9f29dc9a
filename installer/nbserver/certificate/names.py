"""The names in the certificate of a host."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost


def subject_alternative_names(host: AnyHost) -> list[str]:
    """Return the names for the certificate, each once: the address, the host of the public URL, and certificate.names."""
    names = [host.address]
    if host.notebook.public_url:
        names.append(urlsplit(host.notebook.public_url).hostname or "")
    names += host.certificate.names
    return list(dict.fromkeys(_canonical(name) for name in names if name))


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()
