"""Ports to which browsers do not connect."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nbserver.base.message import Message, message

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost

# "Bad port" in the Fetch standard: https://fetch.spec.whatwg.org/#port-blocking
BLOCKED = frozenset(
    map(
        int,
        """
        0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115
        117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563
        587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668
        6669 6679 6697 10080
        """.split(),
    )
)


def blocked_port(host: AnyHost) -> Message | None:
    """Return a warning if browsers refuse the port of the host's notebook server, or None. Behind a public URL, its port counts."""
    public = host.notebook.public_url
    port = (urlsplit(public).port or 443) if public else host.notebook.port
    if port not in BLOCKED:
        return None
    if public:
        return message(
            "public-port-blocked",
            "browsers refuse to connect to port {port}, which notebook.public_url uses; choose another port, such as 443",
            port=port,
        )
    return message("port-blocked", "browsers refuse to connect to port {port}; choose another notebook.port, such as 9999", port=port)
