"""What was copied last, in a hidden file of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.notebooks import known_files


def test_it_is_kept_per_host(tmp_path: Path) -> None:
    assert known_files.read(tmp_path, "win1") == {}
    known_files.write(tmp_path, "win1", {"été.ipynb": "1" * 64})
    assert known_files.read(tmp_path, "win1") == {"été.ipynb": "1" * 64} and known_files.read(tmp_path, "win2") == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"v": 0, "files": {}}', '{"v": 1, "files": {"a": "x"}}', '{"v": 1, "files": {"a": 1}}', "null"]
)
def test_a_file_that_nbserver_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    known_files.write(tmp_path, "win1", {})
    (tmp_path / ".nbserver" / "win1.json").write_text(text)
    with pytest.raises(UsageError, match="not in the format that nbserver writes"):
        known_files.read(tmp_path, "win1")
