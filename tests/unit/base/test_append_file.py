"""A file to which bytes are appended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbserver.base import append_file


@pytest.mark.skipif(os.name != "posix", reason="Windows has no O_NOFOLLOW")
def test_a_link_is_followed_on_request_only(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError):
        append_file.opened(tmp_path / "link", follows_links=False)
    assert not (tmp_path / "file").exists()
    append_file.opened(tmp_path / "link").close()
    assert (tmp_path / "file").exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no FIFOs")
def test_a_fifo_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError):
        append_file.opened(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with append_file.opened(tmp_path / "fifo") as file:
        assert os.get_blocking(file.fileno())
        file.write(b"line\n")
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)
