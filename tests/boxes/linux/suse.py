"""An openSUSE-like base: Debian's files with real zypper and rpm, Leap 15.6's os-release, and our signed repositories."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.boxes.linux import suse_packages, suse_repository
from tests.boxes.linux.base import Recipe
from tests.boxes.linux.suse_packages import BROUGHT_BY_PACKAGES, DEBIANS_OWN, HIDDEN, KEPT_DATA, PACKAGES, PATCHES, SYSTEM
from tests.boxes.linux.suse_repository import Workshop

REPOSITORIES = "/srv/repositories"
OS_RELEASE = """NAME="openSUSE Leap"
VERSION="15.6"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="15.6"
PRETTY_NAME="openSUSE Leap 15.6"
ANSI_COLOR="0;32"
CPE_NAME="cpe:/o:opensuse:leap:15.6"
"""
PRODUCT = """<?xml version="1.0" encoding="UTF-8"?>
<product schemeversion="0"><vendor>openSUSE</vendor><name>Leap</name><version>15.6</version><release>1</release>
<arch>x86_64</arch><summary>openSUSE Leap 15.6</summary></product>
"""


def make_suse(root: Path, work: Path) -> None:
    """Turns a Debian root folder with zypper and rpm into the openSUSE-like one."""
    (root / "etc/os-release").unlink()  # a link into usr/lib
    for place in ("etc/os-release", "usr/lib/os-release"):
        (root / place).write_text(OS_RELEASE)
    (root / "etc/debian_version").unlink()
    for folder in ("etc/rpm", "etc/zypp/repos.d", "etc/products.d"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")  # Debian's rpm would use ~/.rpmdb, zypper /var/lib/rpm
    (root / "etc/products.d/Leap.prod").write_text(PRODUCT)
    (root / "etc/products.d/baseproduct").symlink_to("Leap.prod")
    with Workshop(work) as workshop:
        for name, packages in PACKAGES.items():
            workshop.repository(root / REPOSITORIES[1:] / name, packages, PATCHES.get(name, ()))
        system = workshop.package(SYSTEM, work / "system")
        for file in (workshop.key, system):
            shutil.copy(file, root / "srv")
    _in(root, "rpm", "--import", f"/srv/{workshop.key.name}")
    _in(root, "rpm", "--install", f"/srv/{system.name}")
    _in(root, "zypper", "--non-interactive", "addrepo", "--refresh", f"dir:{REPOSITORIES}/oss", "repo-oss")
    for action in ("install", "remove"):  # a host that has been in use
        _in(root, "zypper", "--non-interactive", action, "tree")
    (root / "srv" / system.name).unlink()
    _hide_debian(root)


def _hide_debian(root: Path) -> None:
    hidden = root / HIDDEN[1:]
    hidden.mkdir(parents=True)
    for name in (*DEBIANS_OWN, *BROUGHT_BY_PACKAGES):
        for folder in ("usr/bin", "usr/sbin"):
            if (root / folder / name).is_symlink() or (root / folder / name).exists():
                (root / folder / name).rename(hidden / name)
    for path in KEPT_DATA:
        (root / path[1:]).rename(hidden / path[1:].replace("/", "-"))


def _in(root: Path, *command: str) -> None:
    done = subprocess.run(["chroot", str(root), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


SUSE = Recipe(
    "suse",
    packages=("zypper", "rpm", "gnupg"),
    finish=make_suse,
    sources=(Path(__file__), Path(suse_packages.__file__), Path(suse_repository.__file__)),
)
