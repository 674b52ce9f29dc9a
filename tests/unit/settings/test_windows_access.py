"""Which access lists of Windows let everybody in. Reading one from a real file is tested in transports/test_local_windows.py."""

from __future__ import annotations

import pytest

from nbserver.settings.windows_access import Access, Entry, everybody_with_access, other_writer, stranger

READ, ALL, EXECUTE, READ_ATTRIBUTES = 0x120089, 0x1F01FF, 0x20, 0x80
OWN = "S-1-5-21-1-2-3-1001"
PRIVATE = [Entry(0, 0, ALL, sid) for sid in ("S-1-5-18", "S-1-5-32-544", OWN)]


@pytest.mark.parametrize(
    ("entry", "who"),
    [
        (Entry(0, 0, READ, "S-1-1-0"), "Everyone"),
        (Entry(0, 0x10, 0x1301BF, "S-1-5-11"), "authenticated users"),  # as a folder in the root of a drive hands on
        (Entry(0, 0x10, READ, "S-1-5-32-545"), "the group Users"),
        (Entry(0, 0, READ, "S-1-5-32-546"), "the group Guests"),
        (Entry(0, 0, READ, "S-1-5-7"), "anonymous users"),
        (Entry(0, 0, READ, "S-1-5-4"), "interactive logons"),
        (Entry(0, 0, READ, "S-1-5-2"), "network logons"),
        (Entry(0, 0, READ, "S-1-5-21-1-2-3-513"), "a group of the whole domain (S-1-5-21-1-2-3-513)"),
        (Entry(0, 0, 0x80000000, "S-1-1-0"), "Everyone"),
        (Entry(0, 0, 0x10000000, "S-1-1-0"), "Everyone"),
        (Entry(0, 0, 0x2, "S-1-1-0"), "Everyone"),
        (Entry(0, 0, 0x40000, "S-1-1-0"), "Everyone"),
        (Entry(9, 0, READ, "S-1-1-0"), "Everyone"),
        (Entry(0, 0x08, READ, "S-1-1-0"), ""),  # only for what is made below
        (Entry(1, 0, READ, ""), ""),  # denies
        (Entry(0, 0, EXECUTE | READ_ATTRIBUTES, "S-1-1-0"), ""),
        (Entry(0, 0, READ, "S-1-5-21-1-2-3-1002"), ""),  # somebody who was named
        (Entry(0, 0, READ, "S-1-5-21-1-2-3-5130"), ""),
    ],
)
def test_a_list_that_lets_everybody_in(entry: Entry, who: str) -> None:
    assert everybody_with_access([*PRIVATE, entry]) == who


def test_no_list_lets_everybody_in_and_an_empty_one_nobody() -> None:
    assert everybody_with_access(None) == "Everyone" and everybody_with_access([]) == everybody_with_access(PRIVATE) == ""


SYSTEM, ADMINISTRATORS, USERS = "S-1-5-18", "S-1-5-32-544", "S-1-5-32-545"
ADMINS = (Entry(0, 0, ALL, SYSTEM), Entry(0, 0, ALL, ADMINISTRATORS))
MODIFY, CREATE = 0x1301BF, 0x120116  # what a folder in the root of a drive hands on; what ProgramData lets Users do in its folders


@pytest.mark.parametrize(
    ("owner", "entries", "is_folder", "anybody", "administrators_only"),
    [
        (ADMINISTRATORS, ADMINS, False, "", ""),
        (SYSTEM, (*ADMINS, Entry(0, 0, READ, USERS)), False, "", ""),
        (OWN, (*ADMINS, Entry(0, 0, ALL, OWN)), False, "", f"its owner ({OWN})"),
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0, ALL, OWN)), False, "", f"the user or group {OWN}"),
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0, MODIFY, "S-1-5-11")), False, "authenticated users", "authenticated users"),
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0, 0x2, "S-1-1-0")), False, "Everyone", "Everyone"),
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0x08, ALL, USERS)), False, "", ""),
        (ADMINISTRATORS, (*ADMINS, Entry(1, 0, ALL, USERS)), False, "", ""),
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0, CREATE, USERS)), True, "", ""),  # they can create a file, not replace one
        (ADMINISTRATORS, (*ADMINS, Entry(0, 0, MODIFY | 0x40, USERS)), True, "the group Users", "the group Users"),
        (ADMINISTRATORS, None, False, "Everyone", "Everyone"),
        (ADMINISTRATORS, (), False, "", ""),
    ],
)
def test_who_can_change_or_replace_a_file(
    owner: str, entries: tuple[Entry, ...] | None, is_folder: bool, anybody: str, administrators_only: str
) -> None:
    access = Access(owner, entries, is_folder)
    assert other_writer(access, administrators_only=False) == anybody
    assert other_writer(access, administrators_only=True) == administrators_only


OTHER = "S-1-5-21-1-2-3-1002"
TEMPORARY = (*ADMINS, Entry(0, 0x2, 0x100026, USERS))  # what Windows gives C:\\Windows\\Temp: everybody may create files and folders
ROOT = (*ADMINS, Entry(0, 0, 0x4, "S-1-5-11"))  # C:\\ itself: everybody may create folders


@pytest.mark.parametrize(
    ("owners", "lists", "who"),
    [
        ((OTHER, SYSTEM, SYSTEM), (ADMINS, TEMPORARY, ADMINS), OTHER),
        ((OWN, SYSTEM, SYSTEM), (ADMINS, TEMPORARY, ADMINS), ""),
        ((ADMINISTRATORS, SYSTEM, SYSTEM), (ADMINS, TEMPORARY, ADMINS), ""),
        ((OTHER, OTHER, SYSTEM), (ADMINS, ADMINS, ADMINS), ""),  # a folder of that user, where only administrators can have put it
        ((OWN, OTHER, SYSTEM), (ADMINS, ADMINS, ROOT), OTHER),  # a folder that somebody has created in C:\\
        ((OTHER, SYSTEM, SYSTEM), (ADMINS, ROOT, ADMINS), ""),  # only folders can be created there
        ((OTHER, SYSTEM, SYSTEM), (ADMINS, (Entry(0, 0x08, ALL, USERS),), ADMINS), ""),
        ((OTHER, SYSTEM, SYSTEM), (ADMINS, None, ADMINS), OTHER),
        ((OTHER,), (ADMINS,), ""),
    ],
)
def test_where_everybody_may_create_files_the_owner_counts(
    owners: tuple[str, ...], lists: tuple[tuple[Entry, ...] | None, ...], who: str
) -> None:
    places = [Access(owner, entries, is_folder=bool(number)) for number, (owner, entries) in enumerate(zip(owners, lists, strict=True))]
    assert stranger(places, OWN) == (f"its owner ({who})" if who else "")
