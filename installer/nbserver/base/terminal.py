"""Whether a stream is a terminal: somebody reads it, or answers a question."""

from __future__ import annotations

import sys
from typing import Any


def is_terminal(stream: Any) -> bool:
    """Return whether a stream, or None, is a terminal. For Windows, NUL is one as well: `isatty` is true for every device."""
    try:
        return stream is not None and bool(stream.isatty()) and (sys.platform != "win32" or _is_console(stream.fileno()))
    except (OSError, ValueError):  # it was closed
        return False


def _is_console(descriptor: int) -> bool:
    """Return whether a descriptor is a console. Only a console has a mode."""
    import ctypes
    import msvcrt

    handle: int = msvcrt.get_osfhandle(descriptor)  # type: ignore[attr-defined, unused-ignore]
    kernel32: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    return bool(kernel32.GetConsoleMode(ctypes.c_void_p(handle), ctypes.byref(ctypes.c_uint32())))
