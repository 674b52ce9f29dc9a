"""Who may write to a file that nbserver trusts, by owner and mode, and what is refused because of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ApprovalError, InventoryError, NbserverError
from nbserver.catalog import reader as catalog
from nbserver.inventory import reader as inventory
from nbserver.run import known_certificates
from nbserver.settings import working_file, write_access
from nbserver.settings.write_access import others_on_posix
from tests import golden

pytestmark = pytest.mark.skipif(os.name == "nt", reason="this needs POSIX; for Windows, see test_windows_access.py")
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR
ME, OTHER, GROUP = 1000, 1001, 2000


def found(mode: int, uid: int = ME, gid: int = GROUP) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("status", "trusted", "members", "who"),
    [
        (found(FILE | 0o644), {0, ME}, ["ben"], ""),
        (found(FILE | 0o600, uid=0), {0, ME}, ["ben"], ""),
        (found(FILE | 0o600, uid=OTHER), {0, ME}, [], "its owner (user ID 1001)"),
        (found(FILE | 0o600, uid=ME), {0}, [], "its owner (user ID 1000)"),
        (found(FILE | 0o600, uid=OTHER), None, [], ""),
        (found(FILE | 0o602), {0, ME}, [], "every user"),
        (found(FILE | 0o664), {0, ME}, [], ""),  # a group that only its owner belongs to
        (found(FILE | 0o664), {0, ME}, ["ben"], "a group with several members (group ID 2000)"),
        (found(FILE | 0o664, gid=0), {0, ME}, ["ben"], ""),
        (found(FOLDER | 0o777), {0, ME}, [], "every user"),
        (found(FOLDER | 0o1777), {0, ME}, [], ""),
        (found(FOLDER | 0o1777, uid=OTHER), {0, ME}, [], "its owner (user ID 1001)"),
        (found(FOLDER | 0o775), {0, ME}, ["ben"], "a group with several members (group ID 2000)"),
    ],
)
def test_owner_and_mode(status: os.stat_result, trusted: set[int] | None, members: list[str], who: str) -> None:
    assert str(others_on_posix(status, trusted, lambda gid, uid: members) or "") == who


class Files:
    """An inventory with a site catalog and its lock, and a known file."""

    def __init__(self, folder: Path) -> None:
        for name in ("site-catalog.toml", "site-lock.txt"):
            (folder / name).write_bytes((golden.FOLDER / name).read_bytes())
        (folder / "nbserver.toml").write_bytes((golden.FOLDER / "nbserver.toml").read_bytes())
        (folder / "nbserver.known").write_text('{"v": 1, "hosts": {}}\n')
        self.folder = folder

    def read(self, name: str) -> Any:
        if name == "nbserver.toml":
            return inventory.load(self.folder / name)
        if name == "nbserver.known":
            return known_certificates.read(self.folder / name)
        return catalog.load(self.folder / "site-catalog.toml")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


NAMES: dict[str, tuple[type[NbserverError], int]] = {
    "nbserver.toml": (InventoryError, 2),
    "nbserver.known": (ApprovalError, 5),
    "site-catalog.toml": (ApprovalError, 5),
    "site-lock.txt": (ApprovalError, 5),
}


def refusal(files: Files, name: str) -> str:
    error, code = NAMES[name]
    with pytest.raises(error) as raised:
        files.read(name)
    assert raised.value.exit_code == code and str(raised.value).isprintable()
    return str(raised.value).replace(str(files.folder), "")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_others_may_write_is_refused(files: Files, name: str) -> None:
    files.read(name)
    (files.folder / name).chmod(0o666)
    assert f"/{name}: every user can write to this file or its folder. Remove this write access" in refusal(files, name)
    (files.folder / name).chmod(0o644)
    files.folder.chmod(0o777)
    assert "every user can write" in refusal(files, name)
    files.folder.chmod(0o1777)
    files.read(name)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to(os.devnull)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [fifo, device])
def test_neither_a_fifo_nor_a_device_is_read(files: Files, name: str, change: Callable[[Path], None]) -> None:
    change(files.folder / name)
    said = refusal(files, name)
    assert "must be a regular file" in said or (name == "nbserver.known" and change is device and "found a link" in said)


@pytest.mark.parametrize("name", NAMES)
def test_permissions_that_cannot_be_read_are_refused(files: Files, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(write_access, "others_of_working_file", failing)
    assert "could not read the permissions of this file and its folder (Permission denied)" in refusal(files, name)


@pytest.mark.parametrize("name", ["nbserver.toml", "site-catalog.toml", "site-lock.txt"])
def test_a_huge_file_is_not_read_to_its_end(files: Files, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_file, "LIMIT", 100)
    assert "the file is larger than 100 bytes" in refusal(files, name)


def test_a_link_is_followed_and_what_it_points_to_counts(files: Files, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    (files.folder / "nbserver.toml").rename(place / "real.toml")
    (files.folder / "nbserver.toml").symlink_to(place / "real.toml")
    files.read("nbserver.toml")
    place.chmod(0o777)
    assert "every user can write" in refusal(files, "nbserver.toml")
    place.chmod(0o755)
    (place / "real.toml").chmod(0o646)
    assert "every user can write" in refusal(files, "nbserver.toml")


@pytest.mark.parametrize("name", NAMES)
def test_where_everybody_may_create_files_the_owner_counts(files: Files, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files.folder.chmod(0o1777)
    files.read(name)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner != 0:
        assert f"its owner (user ID {owner}) can write to this file or its folder" in refusal(files, name)
    else:
        os.chown(files.folder / name, OTHER, -1)
        assert f"its owner (user ID {OTHER}) can write to this file or its folder" in refusal(files, name)
        monkeypatch.setenv("SUDO_UID", str(OTHER))
        refusal(files, name)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        files.read(name)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_folder_that_somebody_has_put_where_everybody_may_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    """As /tmp/lab: the files in it are of its owner, who may also be somebody else."""
    for name in ("open", "elsewhere"):
        (tmp_path / name).mkdir()
    lab = tmp_path / "open" / "lab"
    (tmp_path / "elsewhere" / "nbserver.toml").write_text("[hosts.local]\n")
    if is_link:
        lab.symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").rename(lab)
    inventory.load(lab / "nbserver.toml")
    owner = os.geteuid()
    if owner == 0:
        os.chown(lab, OTHER, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    inventory.load(lab / "nbserver.toml")
    (tmp_path / "open").chmod(0o1777)
    with pytest.raises(InventoryError, match=r"its owner \(user ID \d+\) can write to this file or its folder"):
        inventory.load(lab / "nbserver.toml")
