"""DNS names and IP addresses of hosts."""

from __future__ import annotations

import ipaddress
import re

from nbserver.settings.refusal import refuse

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def host_name(text: str) -> str:
    """Return a DNS name or IP address; an IPv6 address in its short form.

    An internationalized name is returned in its ASCII form (`xn--...`, UTS 46), which certificates and DNS contain. The dot at the end
    of a fully qualified name is left out: certificates and browsers do without it.
    """
    if "://" in text or "/" in text:
        raise refuse("host-with-path", "must not contain a scheme or path")
    if "@" in text:
        raise refuse("host-with-user", "must not contain a user name")
    if text.startswith("["):
        raise refuse("host-in-brackets", "an IPv6 address must not be in brackets")
    if ":" in text and text.count(":") == 1:
        raise refuse("host-with-port", "must not contain a port")
    require_no_zone(text)
    name = _ascii(text).removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise refuse("not-a-host", "must be a DNS name or an IP address")
    if labels[-1].isdigit():
        raise refuse("not-an-ipv4-address", "must be a valid IPv4 address, because a DNS name cannot end in a number")
    return name


def require_no_zone(text: str) -> None:
    """Raise a refusal for an address such as fe80::1%eth0. `ipaddress` accepts any characters as a zone ID."""
    if "%" in text:
        raise refuse("host-with-zone", "an IPv6 address must not have a zone ID, which is valid only on one machine")


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    import idna

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError:
        raise refuse("not-an-international-name", "must be a valid internationalized DNS name") from None
