"""The logins for the package index and the proxy, which a host receives in the envelope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from nbserver.settings.secret_store import Need, SecretStore

if TYPE_CHECKING:
    from nbserver.base.modes import Mode
    from nbserver.inventory.hosts import AnyHost

SENT_IN = ("check", "apply")  # the modes that download something, or check whether the host can


def needs(host: AnyHost, mode: Mode) -> Iterator[Need]:
    """Yield each reference whose secret this host receives."""
    if mode in SENT_IN:
        if host.packages.index_password and host.downloads.source == "direct":
            yield Need(host.packages.index_password, "packages.index_password", host.name)
        if host.downloads.proxy_password:
            yield Need(host.downloads.proxy_password, "downloads.proxy_password", host.name)


def sent(host: AnyHost, mode: Mode, secrets: SecretStore) -> dict[str, str]:
    """Return the secrets for the envelope: user and password as in a URL. Raises SecretError."""
    found = {need.what: secrets.get(need) for need in needs(host, mode)}
    users = {"packages.index": host.packages.index_user, "downloads.proxy": host.downloads.proxy_user}
    return {f"{name}_login": in_url(str(user), found[f"{name}_password"]) for name, user in users.items() if f"{name}_password" in found}


def in_url(user: str, password: str) -> str:
    """Return a login as it is in a URL: all other characters than letters, digits, and _ . - ~ are percent-encoded."""
    return f"{quote(user, safe='')}:{quote(password, safe='')}"
