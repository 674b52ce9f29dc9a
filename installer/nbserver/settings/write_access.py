"""Who may write to a file that nbserver trusts, apart from its user and administrators."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from nbserver.base.message import Message, message

Members = Callable[[int, int], Collection[str]]
"""The names of the users who belong to a group (first number), apart from a user (second number)."""


def others(path: Path, *, administrators_only: bool = False) -> Message | None:
    """Return who else may write to a file, or to its folder, where they could replace it, or None.

    The user who runs nbserver and administrators may write to it; with `administrators_only`, only the latter.
    Raises OSError if the permissions cannot be read.
    """
    if os.name == "nt":
        return _others_on_windows(path, administrators_only)
    trusted = {0} if administrators_only else {0, os.geteuid()}
    return others_on_posix(path.stat(), trusted, _members) or others_on_posix(path.parent.stat(), trusted, _members)


def others_of_working_file(path: Path) -> Message | None:
    """Return who may write to a file of an operator, such as the inventory, apart from its owner, or None.

    The owner may be any user, such as the one who has called sudo, and a group may share the folder. But what is in a folder where
    every user can create files, such as /tmp, may come from anybody: a file, or a folder above the file. Links are followed.
    Raises OSError if the permissions cannot be read.
    """
    if os.name == "nt":
        return _others_on_windows(path, administrators_only=False) or _stranger_on_windows(path)
    folders = (folder.stat() for folder in {path.parent, path.resolve().parent})
    found = (others_on_posix(folder, None, lambda gid, uid: ()) for folder in folders)
    return others_on_posix(path.stat(), None, _members) or next(filter(None, found), None) or _stranger_on_posix(path)


def _stranger_on_posix(path: Path) -> Message | None:
    trusted = {0, os.geteuid(), *_caller_of_sudo()}
    for full in (path.absolute(), path.resolve()):
        for place in (full, *full.parents):
            owner = place.lstat()
            if owner.st_uid not in trusted and place.parent.stat().st_mode & stat.S_IWOTH:
                return _owner(owner)
    return None


def _caller_of_sudo() -> set[int]:
    caller = os.environ.get("SUDO_UID", "")
    return {int(caller)} if os.geteuid() == 0 and re.fullmatch("[0-9]{1,10}", caller) else set()


def _owner(found: os.stat_result) -> Message:
    return message("writer-owner", "its owner (user ID {uid})", uid=found.st_uid)


def others_of_runs(folder: Path) -> Message | None:
    """Return who could replace a run directory in this folder, apart from its owner and a group that shares it, or None.

    Raises OSError if the permissions cannot be read.
    """
    if os.name == "nt":
        return _others_on_windows(folder, administrators_only=False)
    return others_on_posix(folder.stat(), None, lambda gid, uid: ())


def others_on_posix(found: os.stat_result, trusted: Collection[int] | None, members: Members) -> Message | None:
    """Return who may write according to owner and mode. `trusted` are the user IDs that may own the file; None is any.

    A group counts if it has members other than the owner: many distributions give each user a group. With an access list, the mode
    of the group is its mask, so a permission in the list counts as one of the group. In a folder with the sticky bit, only the owner
    of a file can replace it.
    """
    mode = found.st_mode
    if trusted is not None and found.st_uid not in trusted:
        return _owner(found)
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        return None
    if mode & stat.S_IWOTH:
        return message("writer-everybody", "every user")
    if mode & stat.S_IWGRP and found.st_gid != 0 and members(found.st_gid, found.st_uid):
        return message("writer-group", "a group with several members (group ID {gid})", gid=found.st_gid)
    return None


def _members(gid: int, uid: int) -> Collection[str]:
    """Return the members of a group apart from a user. A group that cannot be read has unknown members."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(uid).pw_name
        named = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return ["unknown"]
    primary = {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid}
    return (named | primary) - {owner}


def _others_on_windows(path: Path, administrators_only: bool) -> Message | None:
    from nbserver.settings import windows_access

    for place in (path, path.parent):
        who = windows_access.other_writer(windows_access.access_of(place), administrators_only=administrators_only)
        if who:
            return message("writer-of-windows", "{who}", who=who)
    return None


def _stranger_on_windows(path: Path) -> Message | None:
    from nbserver.settings import windows_access

    def readable(places: Iterable[Path]) -> Iterator[windows_access.Access]:
        """Up to a folder whose access list only others may read."""
        with suppress(OSError):
            for place in places:
                yield windows_access.access_of(place)

    user = windows_access.user_sid()
    for full in (path.absolute(), path.resolve()):
        who = windows_access.stranger(list(readable((full, *full.parents))), user)
        if who:
            return message("writer-of-windows", "{who}", who=who)
    return None
