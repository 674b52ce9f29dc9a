"""A Windows process, identified by its ID and creation time. Only the functions need Windows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# [winnt.h] and the "Process Security and Access Rights" page of learn.microsoft.com.
_TERMINATE, _QUERY_LIMITED_INFORMATION, _SYNCHRONIZE = 0x0001, 0x1000, 0x100000
_WAIT_OBJECT_0, _WAIT_TIMEOUT = 0, 258
_EPOCH = 116444736000000000  # 1970-01-01 as a FILETIME


@dataclass(frozen=True)
class Process:
    """`created` is a FILETIME: units of 100 nanoseconds since 1601, UTC."""

    pid: int
    created: int

    @property
    def since(self) -> float:
        """Return `created` in seconds since the epoch."""
        return (self.created - _EPOCH) / 1e7


def created(pid: int) -> int:
    """Return when the process with this ID was created, as a FILETIME, or 0 if there is none that this user can stop."""
    with _opened(pid) as handle:
        return _created(handle) if handle else 0


def end(process: Process, seconds: float) -> bool:
    """Terminate the process if it is still the same one, and wait. Return whether it has exited.

    Windows has no gentler way to stop a program without a window. Its child processes in its job stop with it.
    """
    with _opened(process.pid) as handle:
        if not handle or _created(handle) != process.created:
            return True
        _kernel32().TerminateProcess(handle, 1)
        return bool(_kernel32().WaitForSingleObject(handle, int(seconds * 1000)) == _WAIT_OBJECT_0)


def _created(handle: int) -> int:
    kernel32 = _kernel32()
    if kernel32.WaitForSingleObject(handle, 0) != _WAIT_TIMEOUT:
        return 0  # it has exited, but another process still holds a handle to it
    begun, *others = [ctypes.c_uint64() for _ in range(4)]
    if not kernel32.GetProcessTimes(handle, ctypes.byref(begun), *map(ctypes.byref, others)):
        return 0
    return begun.value


@contextmanager
def _opened(pid: int) -> Iterator[int | None]:
    """Open a handle. While it is open, no other process gets this ID."""
    kernel32 = _kernel32()
    handle: int | None = kernel32.OpenProcess(_TERMINATE | _QUERY_LIMITED_INFORMATION | _SYNCHRONIZE, False, pid)
    try:
        yield handle
    finally:
        if handle:
            kernel32.CloseHandle(handle)


def _kernel32() -> Any:
    found = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    handle, number = ctypes.c_void_p, ctypes.c_uint32
    found.OpenProcess.argtypes, found.OpenProcess.restype = (number, ctypes.c_int, number), handle
    found.GetProcessTimes.argtypes = (handle, *(ctypes.c_void_p,) * 4)
    found.WaitForSingleObject.argtypes, found.WaitForSingleObject.restype = (handle, number), number
    found.TerminateProcess.argtypes = (handle, number)
    found.CloseHandle.argtypes = (handle,)
    return found
