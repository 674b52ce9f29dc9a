"""Where the condition of a line (PEP 508) applies: on the Windows or Linux hosts for which a script is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.markers import Marker

LINUX_PYTHONS = tuple(f"3.{minor}" for minor in range(10, 15))
"""The versions of Python that a Linux host without python.version may have."""

_SYSTEMS = {
    "windows": {"os_name": "nt", "platform_system": "Windows", "sys_platform": "win32"},
    "linux": {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"},
}
_MACHINES = {("windows", "x64"): "AMD64", ("windows", "arm64"): "ARM64", ("linux", "x64"): "x86_64", ("linux", "arm64"): "aarch64"}
_PATCHES = ("0", "99")  # of a Python whose patch release is not known: the first and the last


def environments(system: str, architecture: str, pythons: Iterable[str]) -> list[dict[str, str]]:
    """Return the values of all variables of a condition, for each version of Python: "3.13", or "3.13.9"."""
    found = []
    for python in pythons:
        branch = ".".join(python.split(".")[:2])
        full = [python] if python.count(".") > 1 else [f"{branch}.{patch}" for patch in _PATCHES]
        for version in full:
            fixed = {"extra": "", "implementation_name": "cpython", "platform_python_implementation": "CPython"}
            fixed |= {"platform_machine": _MACHINES[system, architecture], "platform_release": "", "platform_version": ""}
            fixed |= {"implementation_version": version, "python_full_version": version, "python_version": branch}
            found.append(fixed | _SYSTEMS[system])
    return found


def where(marker: Marker | None, among: Iterable[dict[str, str]]) -> list[bool]:
    """Return for each environment whether the condition applies."""
    return [marker is None or marker.evaluate(dict(one)) for one in among]
