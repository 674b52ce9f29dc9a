"""The releases of Windows: their names in the inventory, and their NT versions.

Source of the versions: "Operating System Version" and "Windows Server release information" on learn.microsoft.com.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """`version` is the lowest NT version that a host of this release reports."""

    title: str
    version: str


RELEASES = {
    "2012": Release("Windows Server 2012", "6.2"),
    "2012r2": Release("Windows Server 2012 R2", "6.3"),
    "2016": Release("Windows Server 2016", "10.0.14393"),
    "2019": Release("Windows Server 2019", "10.0.17763"),
    "2022": Release("Windows Server 2022", "10.0.20348"),
    "2025": Release("Windows Server 2025", "10.0.26100"),
    "10": Release("Windows 10", "10.0"),
    "11": Release("Windows 11", "10.0.22000"),
}
OLDEST = "10.0"
"""The NT version of a host without a release in the inventory: Windows 10 or Server 2016."""


def version(name: str | None) -> str:
    """Return the lowest NT version of a release. `name` is from the inventory, None if it is not set."""
    return RELEASES[name].version if name else OLDEST


def title(version: str) -> str:
    """Return the name of an NT version: "10.0" -> "Windows 10, Server 2016"."""
    if version == OLDEST:
        return "Windows 10, Server 2016"
    return next((release.title for release in RELEASES.values() if release.version == version), f"Windows {version}")
