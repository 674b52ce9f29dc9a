"""What stands in on the openSUSE-like host: every package of ours, by repository. All else there is real zypper and rpm.

Real there: zypper 1.14, libzypp, rpm 4.18, signatures, exit codes, locks. Not real: what the packages contain, which is
Debian's own program under the name of openSUSE's package. So `python3.11` and `openssl` run as they should, and are not
there before zypper has installed them; their versions are Debian's, while rpm says those of Leap 15.6.

Names as in Leap 15.6: `python3` is 3.6 there and `python311` is /usr/bin/python3.11 with venv; Leap 16 and Tumbleweed
have `python313`. As zypper 1.14.42 behaves: 102 and 103 come from patches only; a package that asks for a reboot is installed
with 0 and a note, and `zypper needs-rebooting` then answers 102.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HIDDEN = "/usr/lib/nbserver-stand-in"  # where Debian's own programs are moved to on that host
# Debian's tools are not in the PATH of an openSUSE; a script that looks for them must not find them.
DEBIANS_OWN = (
    "apt apt-cache apt-cdrom apt-config apt-get apt-key apt-mark dpkg dpkg-deb dpkg-divert dpkg-maintscript-helper dpkg-query "
    "dpkg-realpath dpkg-reconfigure dpkg-split dpkg-statoverride dpkg-trigger adduser addgroup deluser delgroup debconf"
).split()
# Not there before a stand-in brings them; python3 is Debian's link to python3.11.
BROUGHT_BY_PACKAGES = "openssl python3 python3.11".split()
KEPT_DATA = ("/var/lib/dpkg", "/etc/apt", "/var/lib/apt", "/var/cache/apt")  # moved too: nothing says Debian any more

OLD_PYTHON = """#!/bin/sh
# Leap's python3 is 3.6. It says so, and is of no use to anybody who needs more.
case "$*" in -V | --version) echo "Python 3.6.15" ;; *) echo "a stand-in for Python 3.6" >&2; exit 1 ;; esac
"""


@dataclass(frozen=True)
class Package:
    """`links` are path -> target, `scripts` are path -> text of an executable; `post` is the %post scriptlet."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    post: str = ""


@dataclass(frozen=True)
class Patch:
    """An entry of updateinfo.xml; `asks` is what zypper reports after it (`reboot_suggested`, `restart_suggested`)."""

    name: str
    package: str
    version: str
    asks: str


def python311(version: str, provides: tuple[str, ...] = (), post: str = "") -> Package:
    return Package("python311", version, ("openssl",), provides, {"/usr/bin/python3.11": f"{HIDDEN}/python3.11"}, post=post)


PACKAGES: dict[str, tuple[Package, ...]] = {
    # The repository that every host has, as Leap's own "repo-oss" and "repo-update" together
    "oss": (
        Package("python3", "3.6.15", scripts={"/usr/bin/python3": OLD_PYTHON}),
        python311("3.11.10"),
        Package("python311-pip", "22.3.1", ("python311",)),
        Package("openssl", "3.1.4", links={"/usr/bin/openssl": f"{HIDDEN}/openssl"}),
        Package("tree", "2.1.0"),
        Package("needs-missing", "1.0", ("no-such-thing",)),
    ),
    # The others wait in /srv/repositories; a test adds the one whose trouble it wants. Each has a newer python311.
    "post-fails": (python311("3.11.11", post="exit 1"), Package("post-fails", "1.0", post="exit 1")),
    "reboot-needed": (python311("3.11.11", ("installhint(reboot-needed)",)),),
    "slow": (python311("3.11.11", post="sleep 5"), Package("slow", "1.0", post="sleep 5")),
    "patches": (Package("tree", "2.1.1"), Package("python311-pip", "22.3.2", ("python311",))),
}
PATCHES: dict[str, tuple[Patch, ...]] = {
    "patches": (
        Patch("stand-in-reboot", "tree", "2.1.1", "reboot_suggested"),
        Patch("stand-in-restart", "python311-pip", "22.3.2", "restart_suggested"),
    )
}
# rpm knows none of Debian's files: this package, which every host has, provides what the others need of the system.
SYSTEM = Package("stand-in-system", "15.6", provides=("/bin/sh", "/bin/bash"))
