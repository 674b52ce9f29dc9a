"""undo --with-notebooks: what is refused before a host is contacted."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.base.errors import UsageError
from nbserver.cli.program import cli
from nbserver.run import operation
from tests.unit.commands.test_rotation import WINDOWS
from tests.unit.commands.test_servers import LINUX


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["lin1", "--with-notebooks", "--archives", "missing"], "archives-no-folder"),
        (["lin1", "--archives", "."], "archives-alone"),
    ],
)
def test_what_is_refused(arguments: list[str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "operate", lambda *given: pytest.fail("a host is contacted"))
    (tmp_path / "nbserver.toml").write_text(WINDOWS + LINUX)
    found = CliRunner().invoke(cli, ["undo", *arguments, "-i", str(tmp_path / "nbserver.toml")])
    assert isinstance(found.exception, UsageError) and found.exception.code == code
