"""What an installation may change on a Linux host, so that before and after can be compared."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from pathlib import Path


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What matches a whole name that one of the patterns, as of a shell, matches."""
    return re.compile("|".join(map(translate, patterns)))


Snapshot = dict[str, dict[str, str]]
TREES = ("etc", "opt", "srv", "root", "home", "usr/local", "var/lib/nbserver", "var/spool/cron")
NAMES = "var/lib var/cache tmp var/tmp run usr/lib/systemd/system"  # what lies in them, not what is in it; seen by the host itself
VOLATILE = {  # pattern of a path -> why it does not count
    "etc/ld.so.cache": "ldconfig's cache, written anew with every library package",
    "etc/passwd-": "the copy that useradd and userdel leave of the file before",
    "etc/group-": "the same",
    "etc/shadow-": "the same",
    "etc/gshadow-": "the same",
    "etc/subuid-": "the same",
    "etc/subgid-": "the same",
    "etc/.pwd.lock": "a lock file that useradd makes and keeps",
    "etc/mtab": "a link into /proc",
    "root/.cache": "what programs keep for their next run",
    "tmp/systemd-private-*": "the private folders of running services, by boot",
    "var/tmp/systemd-private-*": "the same",
    "run/*.pid": "services that run; units say which",
    "run/motd.dynamic": "written at a login",
    "run/sudo": "sudo's timestamps",
    "run/nologin": "there until the boot is complete",
    "run/xtables.lock": "a lock file that iptables makes and keeps",
    "run/log": "the journal",
    "var/cache/ldconfig": "ldconfig's",
    "usr/local/share/man": "made by man-db",
}
VOLATILE_UNITS = {
    "user@*.service": "there while somebody is logged in",
    "session-*.scope": "the same",
    "user-runtime-dir@*.service": "the same",
    "systemd-tmpfiles-clean.service": "started by its timer",
    "man-db.service": "the same",
    "systemd-hostnamed.service": "started by whoever asks, ends by itself",
    "systemd-timedated.service": "the same",
    "systemd-localed.service": "the same",
    "packagekit.service": "the same",
}
_VOLATILE, _VOLATILE_UNITS = _one_of(VOLATILE), _one_of(VOLATILE_UNITS)
MARK = "\x1e"
COMMANDS = {  # section -> what prints its lines, sorted afterwards; nothing where the program is not there
    "dpkg": r"""command -v dpkg-query >/dev/null && dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\n'""",
    "apt_manual": "command -v apt-mark >/dev/null && apt-mark showmanual",
    "rpm": r"command -v rpm >/dev/null && rpm -qa --qf '%{NAME} %{VERSION}-%{RELEASE} installed\n'",
    "unit_files": "systemctl list-unit-files --no-legend --no-pager --plain | awk '{print $1, $2}'",
    "active_units": "systemctl list-units --type=service,socket,timer,path --state=active,failed --no-legend --no-pager --plain"
    " | awk '{print $1, $3}'",
    "nft": "nft -s list ruleset | nl -ba",
    "ufw": "command -v ufw >/dev/null && ufw status verbose | nl -ba",
    "firewalld": "command -v firewall-cmd >/dev/null && firewall-cmd --list-all-zones 2>&1 | nl -ba",
    "listening": """ss -Hltnu | awk '{print $5 "/" $1}'""",
}
COMMANDS["names"] = f"cd / && find {NAMES} -mindepth 1 -maxdepth 1"
SCRIPT = "export LC_ALL=C\n" + "".join(
    f"printf '{MARK}%s\\n' {section}; {{ {command}; }} </dev/null || true\n" for section, command in COMMANDS.items()
)


def snapshot(root: Path, ssh: Callable[..., subprocess.CompletedProcess[str]]) -> Snapshot:
    """Sections of key -> value: packages, units, users, firewall, listening ports, files by mode, owner and hash.

    `root` is the host's `/`, `ssh` runs a command line on it as root. Raises AssertionError when it cannot.
    """
    found: Snapshot = {}
    for part in ssh("bash -s", text=SCRIPT).stdout.split(MARK)[1:]:
        section, *lines = part.splitlines()
        pairs = (line.strip().partition(" " if "\t" not in line else "\t") for line in lines if line.strip())
        found[section] = {key: value for key, _, value in sorted(pairs)}
    for units in ("unit_files", "active_units"):
        found[units] = {name: state for name, state in found[units].items() if not _VOLATILE_UNITS.match(name)}
    found["users"] = dict(_accounts(root / "etc/passwd"))
    found["groups"] = dict(_accounts(root / "etc/group"))
    found["files"] = {path: _describe(root / path) for tree in TREES for path in _walk(root, tree)}
    found["names"] = {path: "" for path in found["names"] if not _VOLATILE.match(path)}
    return found


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs, a line each: `section: key: before -> after`. Empty when nothing does.

    Of a folder that came or went only the folder itself is named.
    """
    found = []
    for section in sorted(before.keys() | after.keys()):
        old, new = before.get(section, {}), after.get(section, {})
        for key in sorted(old.keys() | new.keys()):
            parent = key.rpartition("/")[0]
            moved = section == "files" and ((parent in new) != (parent in old)) and ((key in new) != (key in old))
            if old.get(key) != new.get(key) and not moved:
                found.append(f"{section}: {key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}")
    return found


def _accounts(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text().splitlines():
        name, _, rest = line.partition(":")
        yield name, rest


def _walk(root: Path, tree: str) -> Iterator[str]:
    """The tree, and everything in it that counts."""
    if not os.path.lexists(root / tree):
        return
    left = [tree]
    while left:
        path = left.pop()
        if _VOLATILE.match(path):
            continue
        yield path
        if stat.S_ISDIR(os.lstat(f"{root}/{path}").st_mode):
            left += [f"{path}/{entry.name}" for entry in os.scandir(f"{root}/{path}")]


def _describe(path: Path) -> str:
    status = path.lstat()
    owner = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{owner} -> {path.readlink()}"
    if not stat.S_ISREG(status.st_mode):
        return owner
    return f"{owner} {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
