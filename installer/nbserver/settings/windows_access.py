"""Who can access a file on Windows, from its access list, without any package. Only `entries`, `access_of`, and `user_sid` need Windows."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

# [winnt.h], [accctrl.h] and the pages on access control entries and file access rights of learn.microsoft.com.
_OWNER_SECURITY_INFORMATION = 1
_SE_FILE_OBJECT, _DACL_SECURITY_INFORMATION, _ACL_SIZE_INFORMATION = 1, 4, 2
_ALLOWED = (0, 9)  # ACCESS_ALLOWED_ACE_TYPE and ACCESS_ALLOWED_CALLBACK_ACE_TYPE
_INHERIT_ONLY = 0x08
_TOKEN_QUERY, _TOKEN_USER = 0x8, 1
# Reading or changing the file or its permissions: FILE_READ_DATA, FILE_WRITE_DATA, FILE_APPEND_DATA, WRITE_DAC,
# WRITE_OWNER, MAXIMUM_ALLOWED, and GENERIC_ALL, _WRITE and _READ.
_USE = 0x1 | 0x2 | 0x4 | 0x40000 | 0x80000 | 0x2000000 | 0x10000000 | 0x40000000 | 0x80000000

# Groups with automatic members, by their well-known SIDs.
_WIDE = {
    "S-1-1-0": "Everyone",
    "S-1-5-2": "network logons",
    "S-1-5-4": "interactive logons",
    "S-1-5-7": "anonymous users",
    "S-1-5-11": "authenticated users",
    "S-1-5-32-545": "the group Users",
    "S-1-5-32-546": "the group Guests",
}
_WIDE_OF_DOMAIN = re.compile(r"S-1-5-21-\d+-\d+-\d+-(513|514|515)")  # domain users, guests and computers


@dataclass(frozen=True)
class Entry:
    """One entry of an access list. `kind` is its type, `rights` its access mask, `sid` the user or group it applies to."""

    kind: int
    flags: int
    rights: int
    sid: str


@dataclass(frozen=True)
class Access:
    """The owner of a file or folder, and its access list. Without a list, everybody has access."""

    owner: str
    entries: tuple[Entry, ...] | None
    is_folder: bool


# Writing, or changing the permissions: FILE_WRITE_DATA, FILE_APPEND_DATA, DELETE, WRITE_DAC, WRITE_OWNER, MAXIMUM_ALLOWED,
# GENERIC_ALL and _WRITE. In a folder, replacing a file: FILE_DELETE_CHILD instead of the first two, which create other files.
_CHANGE = 0x10000 | 0x40000 | 0x80000 | 0x2000000 | 0x10000000 | 0x40000000
_CHANGE_FILE, _CHANGE_FOLDER = _CHANGE | 0x2 | 0x4, _CHANGE | 0x40
_ADMINISTRATORS = {
    "S-1-5-18",  # the system
    "S-1-5-32-544",  # the group Administrators
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  # TrustedInstaller
    "S-1-3-4",  # OWNER RIGHTS, for the owner, who is checked
}


def other_writer(access: Access, *, administrators_only: bool) -> str:
    """Return who can change a file, or replace a file in a folder, or an empty string.

    With `administrators_only`, it is anybody who is not an administrator; otherwise, it is the first broad group.
    """
    if access.entries is None:
        return "Everyone"
    if administrators_only and access.owner not in _ADMINISTRATORS:
        return f"its owner ({access.owner})"
    rights = _CHANGE_FOLDER if access.is_folder else _CHANGE_FILE
    for entry in access.entries:
        if entry.kind in _ALLOWED and not entry.flags & _INHERIT_ONLY and entry.rights & rights:
            if _wide(entry.sid):
                return _wide(entry.sid)
            if administrators_only and entry.sid not in _ADMINISTRATORS:
                return f"the user or group {entry.sid}"
    return ""


# Creating a file, or a folder: FILE_ADD_FILE, FILE_ADD_SUBDIRECTORY. Whoever may change the permissions may also create both.
_ADD_FILE, _ADD_FOLDER = 0x2, 0x4
_ADD = 0x40000 | 0x80000 | 0x2000000 | 0x10000000 | 0x40000000


def stranger(places: Sequence[Access], user: str) -> str:
    """Return the owner of a file, or of a folder above it, if anybody may have created it there, or an empty string.

    `places` are the file, its folder, the folder above, and so on. `user`, a SID, and administrators are no strangers.
    """
    for place, above in pairwise(places):
        rights = _ADD | (_ADD_FOLDER if place.is_folder else _ADD_FILE)
        if place.owner not in {user, *_ADMINISTRATORS} and _is_open(above, rights):
            return f"its owner ({place.owner})"
    return ""


def _is_open(access: Access, rights: int) -> bool:
    if access.entries is None:
        return True
    return any(
        entry.kind in _ALLOWED and not entry.flags & _INHERIT_ONLY and entry.rights & rights and _wide(entry.sid)
        for entry in access.entries
    )


def _wide(sid: str) -> str:
    """Return the name of a broad group, or an empty string."""
    if sid in _WIDE:
        return _WIDE[sid]
    return f"a group of the whole domain ({sid})" if _WIDE_OF_DOMAIN.fullmatch(sid) else ""


def everybody_with_access(found: Iterable[Entry] | None) -> str:
    """Return the first broad group that can read or change the file, or an empty string. Without a list, everybody can.

    Entries that deny access are ignored: a file that relies on them is not suitable for a secret.
    """
    if found is None:
        return "Everyone"
    for entry in found:
        if entry.kind in _ALLOWED and not entry.flags & _INHERIT_ONLY and entry.rights & _USE and _wide(entry.sid):
            return _wide(entry.sid)
    return ""


def access_of(path: Path) -> Access:
    """Return owner and access list of a file or folder. Raises OSError."""
    owner, acl, security = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    wanted = _OWNER_SECURITY_INFORMATION | _DACL_SECURITY_INFORMATION
    code = _library("advapi32").GetNamedSecurityInfoW(
        ctypes.c_wchar_p(str(path)),
        _SE_FILE_OBJECT,
        wanted,
        ctypes.byref(owner),
        None,
        ctypes.byref(acl),
        None,
        ctypes.byref(security),
    )
    if code:
        raise OSError(code, f"Windows error {code}")
    try:
        found = tuple(_entries(acl)) if acl else None
        return Access(_sid(owner.value) if owner.value is not None else "", found, path.is_dir())
    finally:
        _library("kernel32").LocalFree(security)


def user_sid() -> str:
    """Return the SID of the user who runs this process. Raises OSError."""
    token, size = ctypes.c_void_p(), ctypes.c_uint32()
    advapi32, kernel32 = _library("advapi32"), _library("kernel32")
    if not advapi32.OpenProcessToken(ctypes.c_void_p(-1), _TOKEN_QUERY, ctypes.byref(token)):  # -1 is this process
        raise OSError("OpenProcessToken failed")
    try:
        advapi32.GetTokenInformation(token, _TOKEN_USER, None, 0, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        if not advapi32.GetTokenInformation(token, _TOKEN_USER, found, size, ctypes.byref(size)):
            raise OSError("GetTokenInformation failed")
        address = ctypes.c_void_p.from_buffer(found).value  # SID_AND_ATTRIBUTES begins with the address of the SID
        return _sid(address) if address is not None else ""
    finally:
        kernel32.CloseHandle(token)


def entries(descriptor: int) -> list[Entry] | None:
    """Return the access list of an open file, or None if it has none. `descriptor` is from os.open. Raises OSError."""
    import msvcrt

    handle: int = msvcrt.get_osfhandle(descriptor)  # type: ignore[attr-defined, unused-ignore]
    acl, security = ctypes.c_void_p(), ctypes.c_void_p()
    code = _library("advapi32").GetSecurityInfo(
        ctypes.c_void_p(handle), _SE_FILE_OBJECT, _DACL_SECURITY_INFORMATION, None, None, ctypes.byref(acl), None, ctypes.byref(security)
    )
    if code:
        raise OSError(code, f"Windows error {code}")
    try:
        return list(_entries(acl)) if acl else None
    finally:
        _library("kernel32").LocalFree(security)


def _entries(acl: ctypes.c_void_p) -> Iterator[Entry]:
    size = (ctypes.c_uint32 * 3)()  # ACL_SIZE_INFORMATION: how many entries, bytes in use, bytes free
    if not _library("advapi32").GetAclInformation(acl, ctypes.byref(size), ctypes.sizeof(size), _ACL_SIZE_INFORMATION):
        raise OSError("GetAclInformation failed")
    for index in range(size[0]):
        place = ctypes.c_void_p()
        if not _library("advapi32").GetAce(acl, index, ctypes.byref(place)) or place.value is None:
            raise OSError("GetAce failed")
        # ACE_HEADER: type, flags, size; followed by the access mask and the SID.
        header = ctypes.string_at(place.value, 8)
        kind, flags, rights = header[0], header[1], int.from_bytes(header[4:8], "little")
        yield Entry(kind, flags, rights, _sid(place.value + 8) if kind in _ALLOWED else "")


def _sid(address: int) -> str:
    text = ctypes.c_wchar_p()
    if not _library("advapi32").ConvertSidToStringSidW(ctypes.c_void_p(address), ctypes.byref(text)):
        raise OSError("ConvertSidToStringSidW failed")
    try:
        return text.value or ""
    finally:
        _library("kernel32").LocalFree(text)


def _library(name: str) -> Any:
    return ctypes.WinDLL(name, use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
