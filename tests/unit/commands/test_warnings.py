"""Warnings about settings, which commands print before they act."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.cli.program import cli


@pytest.mark.parametrize("port", [6000, 9999])
def test_a_port_that_browsers_block_is_a_warning(tmp_path: Path, port: int) -> None:
    inventory = tmp_path / "nbserver.toml"
    inventory.write_text(
        f'[hosts.lin1]\nsystem = "linux"\naddress = "lin1"\nuser = "anna"\nnotebook.password = {{ env = "X" }}\nnotebook.port = {port}\n'
    )
    result = CliRunner().invoke(cli, ["render", "lin1", "-i", str(inventory), "-o", str(tmp_path / "out")], standalone_mode=False)
    assert result.exception is None, result.output
    assert ("nbserver: warning: lin1: browsers refuse to connect to port 6000" in result.output) is (port == 6000)
