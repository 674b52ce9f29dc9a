"""Names of hosts and groups: they become part of file names, also on Windows, and of a script's first comment."""

from __future__ import annotations

import re

from nbserver.base.date_text import reads_like_date

NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$")
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
LOCAL = "local"


def name_fault(name: str) -> str | None:
    """Say why a host or group of an inventory cannot have this name."""
    if not NAME.fullmatch(name):
        return "a name has up to 100 letters, digits and . - _, begins with a letter or digit and ends in no dot"
    if RESERVED.fullmatch(name):
        return "Windows keeps this name for a device"
    if name.lower() == LOCAL:
        return '"local" means this machine'
    if reads_like_date(name):
        return "it reads like a date and time, which PowerShell would change on its way"
    return None


def is_host(name: str) -> bool:
    """Whether a script can be for a host of this name: one that an inventory may have, or this machine."""
    return name == LOCAL or name_fault(name) is None
