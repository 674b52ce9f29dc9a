"""A file that nobody may see is not one that was never written."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from nbserver.base.existing import exists
from tests.checkout import SOURCE


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "leads nowhere").symlink_to(tmp_path / "absent")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert exists(file) and exists(tmp_path)
    for name in ("absent", "file/below", "leads nowhere", "circle", "zero\0byte"):
        assert not exists(tmp_path / name), name


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_what_is_unknown_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Path.exists answers False since Python 3.14."""

    def stat(path: Path, **options: bool) -> os.stat_result:
        raise error

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(OSError, match=error.strerror):
        exists(tmp_path / "file")
    for denied in (False, True):
        if isinstance(error, PermissionError):
            assert exists(tmp_path / "file", denied=denied) is denied
        else:
            with pytest.raises(OSError, match=error.strerror):
                exists(tmp_path / "file", denied=denied)


def test_no_module_asks_path_exists() -> None:
    """`os.path.exists` is for whoever wants False in any case; `chain` is a class of ours."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "exists"
        if ast.unparse(node.func.value) not in ("os.path", "chain", "self.chain", "journal.chain")
    ]
    assert found == []
