"""What a script downloads: which packages apply to which release of Python, and which of them a bundle lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbserver.bundle import wanted
from nbserver.bundle.contents import File
from nbserver.catalog.linux_lock import parse
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.linux_host import render
from nbserver.render.script import Script

OLD, NEW, BOTH = ("0" * 64, "1" * 64, "2" * 64)
LOCK = f"""
small==1.0 --hash=sha256:{BOTH}
soup==2.0 ; python_full_version < "3.11.5" --hash=sha256:{OLD}
soup==4.0 ; python_full_version >= "3.11.5" --hash=sha256:{NEW}
"""


def script(version: str | None, source: str = "wheels") -> Script:
    host = LocalLinuxHost(scope="machine")
    settings = {"python": host.python.model_copy(update={"version": version})}
    settings["packages"] = host.packages.model_copy(update={"source": source})
    return render(host.model_copy(update={**settings, "architecture": "x64"}), parse(LOCK.encode()))


def found(version: str | None) -> list[tuple[str, list[str]]]:
    return [(one.release, [str(pin) for pin in one.pins]) for one in wanted.packages(script(version))]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.10", [("3.10.99", ["small==1.0", "soup==2.0"])]),
        ("3.11", [("3.11.0", ["small==1.0", "soup==2.0"]), ("3.11.99", ["small==1.0", "soup==4.0"])]),
        ("3.11.4", [("3.11.4", ["small==1.0", "soup==2.0"])]),
        ("3.13", [("3.13.99", ["small==1.0", "soup==4.0"])]),
    ],
)
def test_conditions_apply_to_releases_of_python(version: str, expected: list[tuple[str, list[str]]]) -> None:
    assert found(version) == expected


def test_a_host_whose_python_is_not_known_may_have_any() -> None:
    assert [release for release, _ in found(None)] == ["3.10.99", "3.11.0", "3.11.99", "3.12.99", "3.13.99", "3.14.99"]


def test_hosts_with_the_same_lock_have_the_same_packages() -> None:
    locked = wanted.LockedPackages()
    assert locked.of(script("3.11")) is locked.of(replace(script("3.11"), host="other")) is not locked.of(script("3.13"))
    assert locked.of(script("3.11", "distribution")) == [] != locked.of(script("3.11"))


def test_packages_of_the_distribution_are_not_downloaded() -> None:
    assert wanted.packages(script("3.11", "distribution")) == []


def test_a_wheel_for_another_system_is_lacking() -> None:
    (packages,) = wanted.packages(script("3.13"))
    small = File("wheel", "small", "1.0", "small-1.0-py3-none-any.whl", BOTH, 1, "https://example.com/x")
    soup = File("wheel", "soup", "4.0", "soup-4.0-cp313-cp313-manylinux_2_17_x86_64.whl", NEW, 1, "https://example.com/x")
    assert packages.lacking([small, soup]) == ()
    assert [str(pin) for pin in packages.lacking([small])] == ["soup==4.0"]
    assert [str(pin) for pin in packages.lacking([small, replace(soup, file="soup-4.0-cp313-cp313-win_amd64.whl")])] == ["soup==4.0"]
    assert [str(pin) for pin in packages.lacking([small, replace(soup, file="soup.whl")])] == ["soup==4.0"]
