"""What is replaced in one step, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbserver.base import atomic_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="FIFOs and links as POSIX has them")


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """As root, --junit /dev/stdout would end the output of all programs."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for path in before:
        with pytest.raises(OSError):
            atomic_file.write_bytes(path, b"x")
    assert sorted(tmp_path.iterdir()) == before and not [path for path in before if path.is_file() and not path.is_symlink()]


def test_a_link_to_a_file_is_replaced_and_its_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for name, target in (("link", "file"), ("dangling", "nowhere")):
        (tmp_path / name).symlink_to(tmp_path / target)
        atomic_file.write_bytes(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new" and not (tmp_path / name).is_symlink()
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(("system", "held", "replaced"), [("win32", 2, True), ("win32", 10**9, False), ("linux", 1, False)])
def test_a_file_that_another_program_has_open_on_windows_is_replaced_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, held: int, replaced: bool
) -> None:
    """A virus scanner looks at every new file. Elsewhere, an open file can be replaced, and the refusal has another reason."""
    file, attempts, replace = tmp_path / "nbserver.known", list[Path](), Path.replace

    def refuse(self: Path, target: Path) -> Path:
        attempts.append(self)
        if len(attempts) <= held:
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(atomic_file.sys, "platform", system)
    monkeypatch.setattr(atomic_file, "PATIENCE", 0.1)
    monkeypatch.setattr(Path, "replace", refuse)
    file.write_bytes(b"old")
    if replaced:
        atomic_file.write_bytes(file, b"new")
    else:
        with pytest.raises(PermissionError):
            atomic_file.write_bytes(file, b"new")
    assert file.read_bytes() == (b"new" if replaced else b"old") and [*tmp_path.iterdir()] == [file]
    assert (len(attempts) == held + 1) if replaced else (len(attempts) > 1) == (system == "win32")
