"""The files of --log and --junit: both refuse the same, before the run, and create no folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.view import choice


@pytest.fixture(params=["log", "junit"])
def chosen(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """What --log or --junit does before the run."""
    return lambda path: choice.choose(False, **{request.param: path}) and None


@pytest.mark.parametrize("name", ["missing/file", "other/file", "x" * 300])
def test_a_place_where_no_file_can_be_is_refused(chosen: Callable[[Path], None], tmp_path: Path, name: str) -> None:
    (tmp_path / "other").write_text("a file, not a folder")
    with pytest.raises(UsageError, match=r"Make sure that|choose another file|Choose another file") as raised:
        chosen(tmp_path / name)
    assert raised.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux has a folder in which nobody can create a file")
def test_a_folder_that_cannot_be_written_is_refused(chosen: Callable[[Path], None]) -> None:
    with pytest.raises(UsageError, match=r"/proc/self/file.*choose another file with --"):
        chosen(Path("/proc/self/file"))


@pytest.mark.skipif(os.name != "posix", reason="on Windows, only some users can create links")
@pytest.mark.parametrize("target", ["file", "nowhere"])
def test_a_link_is_neither_followed_nor_replaced(chosen: Callable[[Path], None], tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match=r"link is a link\. Use --(log|junit) to specify the file that the link points to"):
        chosen(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "nowhere").exists()


def test_a_file_with_other_content_is_kept(chosen: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "nbserver.toml").write_text("[hosts.win1]\n")
    with pytest.raises(UsageError, match=r"not an nbserver log|not look like earlier output"):
        chosen(tmp_path / "nbserver.toml")
    assert (tmp_path / "nbserver.toml").read_text() == "[hosts.win1]\n"
