"""Which names of files can be copied: what a system cannot have is refused before anything is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from nbserver.base.message import Message, message
from nbserver.base.plain_text import clean

LONGEST_NAME = 255  # bytes of a file name on Linux
LONGEST_PATH = 1000  # bytes of a path below the folder
LONGEST_ON_WINDOWS = 180  # UTF-16 units of a path below the folder: Windows refuses more than 259 in all, unless a policy allows more
DEEPEST = 32  # folders

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.IGNORECASE)
_SHORT = re.compile(r"[^.]{1,6}~[0-9]{1,6}(\.[^.]{0,3})?")  # by which Windows finds a file with a longer name, for example .git as GIT~1
_NOT_ON_WINDOWS = re.compile(r'[\\:*?"<>|]')
_CONTROLS = re.compile("[\x00-\x1f\x7f]")


def fault(path: str, *, on_windows: bool) -> Message | None:
    """Return why a path cannot be copied, or None. Also paths that a host reported are checked, which could lead anywhere."""
    names = path.split("/")
    shown = clean(path, 300)
    if len(path.encode("utf-8", "surrogatepass")) > LONGEST_PATH or len(names) > DEEPEST:
        return message(
            "notebook-path-long",
            "{path}: the path is longer than {most} bytes or deeper than {deepest} folders",
            path=shown,
            most=LONGEST_PATH,
            deepest=DEEPEST,
        )
    for name in names:
        if name in ("", ".", "..") or name.startswith(".") or _CONTROLS.search(name):
            return message(
                "notebook-path-invalid",
                "{path}: the path contains a control character, an empty name, or a name that begins with a dot",
                path=shown,
            )
        try:
            size = len(name.encode("utf-8"))
        except UnicodeEncodeError:
            return message("notebook-name-encoding", "{path}: the name is not valid UTF-8", path=shown)
        if size > LONGEST_NAME:
            return message("notebook-name-long", "{path}: the name is longer than {most} bytes", path=shown, most=LONGEST_NAME)
        if on_windows and (_NOT_ON_WINDOWS.search(name) or name[-1] in ". " or _RESERVED.fullmatch(name)):
            return message("notebook-name-not-on-windows", "{path}: Windows does not allow this name", path=shown)
        if on_windows and _SHORT.fullmatch(name):
            return message(
                "notebook-name-short-on-windows",
                "{path}: Windows could mistake this name for the short (8.3) name of another file",
                path=shown,
            )
    if on_windows and len(path.encode("utf-16-le")) > 2 * LONGEST_ON_WINDOWS:
        return message(
            "notebook-path-long-on-windows",
            "{path}: the path is too long for Windows (at most {most} characters)",
            path=shown,
            most=LONGEST_ON_WINDOWS,
        )
    return None


def same_on_windows(path: str) -> str:
    """Return the same text for all paths that Windows or macOS takes for the same file."""
    return unicodedata.normalize("NFC", path).casefold()


def alike(paths: Iterable[str]) -> list[Message]:
    """Return a message for each file or folder that Windows or macOS takes for another one."""
    first: dict[str, str] = {}
    found = []
    for path in paths:
        levels = path.split("/")
        for count in range(1, len(levels) + 1):
            one = "/".join(levels[:count])
            other = first.setdefault(same_on_windows(one), one)
            if other != one:
                found.append(
                    message(
                        "notebook-names-same-on-windows",
                        "{path}: on Windows, this is the same name as {other}",
                        path=clean(one, 300),
                        other=clean(other, 300),
                    )
                )
    return list(dict.fromkeys(found))
