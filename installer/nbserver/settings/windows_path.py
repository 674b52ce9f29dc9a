"""Paths on a Windows host, checked on the workstation, which may run another system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nbserver.settings.refusal import refuse

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError

# Names of devices in any folder: "Naming Files, Paths, and Namespaces" on learn.microsoft.com. The superscript digits count as well.
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)


def windows_path(text: str) -> str:
    """Return an absolute path on a drive, or a path that begins with %Variable%; at most 200 characters."""
    if len(text) > 200:
        raise refuse("path-too-long", "must not be longer than 200 characters")
    start = re.match(r"([A-Za-z]:(?=\\)|%[A-Za-z_][A-Za-z0-9_()]*%(?=\\|$))", text)
    if not start:
        raise _not_absolute(text)
    rest = text[start.end() :]
    if "/" in rest:
        raise _with_slashes()
    if any(c in "\"'`;%:*?<>|\u2018\u2019\u201a\u201b\u201c\u201d\u201e" for c in rest):
        raise refuse("windows-path-character", "must not contain any of these characters: \" ' ` ; % / : * ? < > |")
    for part in rest.split("\\"):
        if part in (".", ".."):
            raise refuse("path-dots", "must not contain . or .. as a component")
        if part != part.rstrip(". "):
            raise refuse("windows-path-end", "must not have a component that ends with a dot or space, which Windows would remove")
        if RESERVED.fullmatch(part):
            raise refuse("windows-path-reserved", "must not contain a component that is a reserved Windows device name, such as CON or NUL")
    if "\\\\" in rest:
        raise refuse("windows-path-doubled", "must not contain an empty component (in single quotes, write each backslash only once)")
    return text


def windows_folder(text: str) -> str:
    """Return a Windows path below the root of a drive or the folder of a variable: its permissions will be changed."""
    if not re.search(r"\\[^\\]", windows_path(text)):
        raise refuse(
            "folder-at-root",
            "must be a folder such as D:\\notebooks or %ProgramData%\\notebooks, not only a drive or an environment variable",
        )
    return text


def _not_absolute(text: str) -> PydanticCustomError:
    if text.startswith(("\\\\", "//")):
        return refuse(
            "path-on-network",
            "must not be a network path: the notebook server's account cannot reach it; use a folder on a drive of the host",
        )
    if re.match(r"[A-Za-z]:/|%[^%/]*%/", text):
        return _with_slashes()
    if re.match(r"[A-Za-z]:", text):
        return refuse("path-without-backslash", "must have a backslash after the drive letter and colon, such as 'C:\\notebooks'")
    if text.startswith(("/", "~")):
        return refuse("path-of-linux", "must be a Windows path such as 'C:\\notebooks', not a Linux path")
    if re.match(r"\$(env:|\{env:)", text, re.IGNORECASE):
        return refuse("path-with-powershell-variable", "must use the form %ProgramData% for variables, not $env:ProgramData")
    return refuse("path-not-absolute", "must be an absolute path")


def _with_slashes() -> PydanticCustomError:
    return refuse("path-with-slashes", "must use backslashes instead of slashes; write the path in single quotes, such as 'C:\\notebooks'")
