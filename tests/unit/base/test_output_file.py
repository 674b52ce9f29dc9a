"""A file that a person names for output replaces earlier output only."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.base.output_file import require_no_other_content


@pytest.mark.parametrize("content", [b"", b"\n", b"<?xml version='1.0'?>", b"\xef\xbb\xbf<!doctype html>"])
def test_earlier_output_is_replaced(tmp_path: Path, content: bytes) -> None:
    require_no_other_content(tmp_path / "missing")
    require_no_other_content(tmp_path)
    (tmp_path / "file").write_bytes(content)
    require_no_other_content(tmp_path / "file")


@pytest.mark.parametrize("content", [b"[hosts.win1]\n", b"{}", b"\0", b"# an inventory"])
def test_anything_else_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match="does not look like earlier output of this command"):
        require_no_other_content(tmp_path / "file")


def test_a_command_can_name_how_its_output_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"# Review of 2 hosts")
    require_no_other_content(tmp_path / "file", b"## Differences", b"# Review of ")
    with pytest.raises(UsageError):
        require_no_other_content(tmp_path / "file", b"<")
