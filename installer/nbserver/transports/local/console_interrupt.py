"""`python console_interrupt.py PID`: send Ctrl-C to the console of the process PID, on Windows. Does not import nbserver.

Exits with code 0, or with the Windows error code.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

CTRL_C = 0


def main() -> int:
    kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    kernel32.FreeConsole()
    done = kernel32.AttachConsole(ctypes.c_uint32(int(sys.argv[1])))
    done = done and kernel32.SetConsoleCtrlHandler(None, True)  # this process has joined that console and must ignore its own Ctrl-C
    done = done and kernel32.GenerateConsoleCtrlEvent(CTRL_C, 0)
    return 0 if done else int(ctypes.get_last_error()) or 1  # type: ignore[attr-defined, unused-ignore]


if __name__ == "__main__":
    sys.exit(main())
