"""Which commands run the programs that print secrets, and what they say without a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.base.errors import SecretError
from nbserver.cli import program

HOSTS = '[defaults]\nsystem = "linux"\nuser = "root"\n{settings}\n[hosts.a]\naddress = "192.0.2.1"\n[hosts.b]\naddress = "192.0.2.2"\n'


def inventory(folder: Path, settings: str) -> str:
    file = folder / "nbserver.toml"
    file.write_text(HOSTS.format(settings=settings))
    return str(file)


def test_only_a_run_fetches_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get, ran = tmp_path / "get", tmp_path / "ran"
    get.write_text(f"#!/bin/sh\necho x >> {ran}\nexit 1\n")
    get.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    file = inventory(tmp_path, 'password = { command = ["./get"] }\nnotebook.password = { command = ["./get", "2"] }')

    def exit_code(*command: str) -> int:
        found = CliRunner().invoke(program.cli, command, standalone_mode=False)
        if found.exception:
            raise found.exception
        return int(found.return_value or 0)

    assert exit_code("render", "-i", file, "-o", "out", "a", "b") == 0
    assert exit_code("audit", "out") == 0
    assert exit_code("schema") == 0
    assert not ran.exists()
    with pytest.raises(
        SecretError, match="could not read 2 of the secrets:\na, b: password: the command for this secret failed: get exited with code 1"
    ):
        exit_code("plan", "-i", file, "a", "b")
    assert ran.read_text() == "x\nx\n" and not (tmp_path / "nbserver-runs").exists()


@pytest.mark.parametrize("command", ["plan", "apply", "undo", "rotate", "verify"])
def test_without_a_terminal_nobody_is_asked(tmp_path: Path, command: str) -> None:
    file = inventory(tmp_path, "password = { prompt = true }\nnotebook.password = { prompt = true }")
    found = CliRunner().invoke(program.cli, [command, "-i", file, "a", "b"], standalone_mode=False)
    assert isinstance(found.exception, SecretError) and found.exception.exit_code == 2
    assert "a, b: " in str(found.exception) and "there is no terminal" in str(found.exception)
