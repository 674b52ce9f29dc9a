"""Names of hosts and groups. They become part of file names, also on Windows, and of the first comment of a script."""

from __future__ import annotations

import re

from nbserver.base.date_text import reads_like_date
from nbserver.base.message import Message, message
from nbserver.settings.windows_path import RESERVED

NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$")
LOCAL = "local"
# What is next to the folders of hosts in a run directory.
RUN_FILES = re.compile(r"approval(-[0-9]+)?|chain\.jsonl(\.sig)?|(run|intent)\.json|summary(-[0-9]+)?\.json|resumed-[0-9]+\.json")


def name_fault(name: str) -> Message | None:
    """Return why a host or group of an inventory cannot have this name, or None."""
    if not NAME.fullmatch(name):
        return message(
            "name-malformed",
            'a name must have 1 to 100 characters: ASCII letters, digits, ".", "-", and "_". It must begin with a letter or digit, and must not end with "."',
        )
    if RESERVED.fullmatch(name):
        return message("name-reserved-by-windows", "Windows reserves this name for a device; choose another name")
    if name.lower() == LOCAL:
        return message("name-local", '"local" is reserved for this machine')
    if RUN_FILES.fullmatch(name.lower()):
        return message("name-of-run-file", "this name is reserved for a file in the run directory")
    if reads_like_date(name):
        return message("name-like-date", "a name must not look like a date and time, because PowerShell would convert it")
    return None


def is_host(name: str) -> bool:
    """Return whether a host can have this name: a valid name of an inventory, or `local`."""
    return name == LOCAL or name_fault(name) is None
