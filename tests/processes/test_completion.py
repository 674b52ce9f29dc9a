"""Shell completion in real shells, and the schema that an editor reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nbserver.cli.completion import names
from tests.checkout import CHECKOUT, PYTHON_PATH
from tests.linux import parts
from tests.powershell.engine import Session, require_engine

INVENTORY = '[hosts.web1]\n[hosts.Web2]\n[hosts.db1]\n[hosts."bad name"]\n[groups.webs]\nhosts = ["web1"]\n'


def nbserver(*arguments: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, **variables}
    command = [sys.executable, "-m", "nbserver", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("nbserver pl", {"plan"}),
        ("nbserver plan we", {"web1", "Web2", "webs"}),
        ("nbserver plan web1 d", {"db1"}),
        ("nbserver plan loc", {"local"}),
        ("nbserver plan -i other.toml o", {"other1"}),
        ("nbserver apply --app", {"--approved", "--approvals"}),
        ("nbserver completion po", {"powershell"}),
        ("nbserver plan nothing", set()),
        ("nbserver audit --evidence we", {"web1", "Web2", "webs"}),
    ],
)
def test_bash(tmp_path: Path, line: str, completions: set[str]) -> None:
    program = tmp_path / "bin" / "nbserver"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nbserver "$@"\n')
    program.chmod(0o755)
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    (tmp_path / "other.toml").write_text("[hosts.other1]\n")
    script = (
        'eval "$(nbserver completion bash)"\n'
        f"COMP_WORDS=({line})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_nbserver_completion nbserver\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run([parts.require_bash(), "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completions and not done.stderr


@pytest.mark.parametrize(
    ("line", "cursor", "asked"),
    [
        ("nbserver plan we", 16, "we|nbserver,plan,we"),
        ("nbserver plan ", 14, "|nbserver,plan"),
        ("nbserver plan w x", 15, "w|nbserver,plan,w"),
    ],
)
def test_powershell(line: str, cursor: int, asked: str) -> None:
    """The words that PowerShell's own completion passes on, and what it makes of the answer. A function stands in for nbserver."""
    require_engine()
    answer = (
        'function global:nbserver { $global:Asked = "$env:_NBSERVER_COMPLETE|$env:COMP_WORD|$($env:COMP_WORDS -replace "`n", \',\')"; '
        '"web1`ta host"; "web2`ta host" }'
    )
    complete = f"(TabExpansion2 '{line}' {cursor}).CompletionMatches | ForEach-Object {{ \"$($_.CompletionText)|$($_.ToolTip)\" }}"
    with Session() as session:
        session.keep(f"{nbserver('completion', 'powershell')}\n{answer}")
        assert session.run(f'{complete}; $global:Asked; "$env:_NBSERVER_COMPLETE$env:COMP_WORDS$env:COMP_WORD"') == [
            "web1|a host",
            "web2|a host",
            f"powershell_complete|{asked}",
            "",
        ]


def test_the_words_that_powershell_sends_are_completed(tmp_path: Path) -> None:
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    inventory = str(tmp_path / "nbserver.toml")
    asked = {"_NBSERVER_COMPLETE": "powershell_complete", "COMP_WORDS": f"nbserver\nplan\n-i\n{inventory}\nwe", "COMP_WORD": "we"}
    assert nbserver(**asked).splitlines() == ["webs\tgroup", "web1\thost", "Web2\thost"]
    assert "plan\tShow what apply would change" in nbserver(**{**asked, "COMP_WORDS": "nbserver", "COMP_WORD": ""}).splitlines()


@pytest.mark.parametrize(("shell", "words"), [("zsh", "#compdef nbserver"), ("fish", "complete --no-files --command nbserver")])
def test_other_shells(shell: str, words: str) -> None:
    assert words in nbserver("completion", shell)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_an_inventory_of_windows_powershell_is_completed(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "nbserver.toml").write_bytes("[hosts.win1]\r\n".encode(encoding))
    assert names(tmp_path / "nbserver.toml") == [("local", "this machine"), ("win1", "host")]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[hosts", b"hosts = 1", b"[hosts]\na = 1\n[groups]\n'../x' = 1\n"])
def test_an_inventory_with_faults_completes_what_it_can(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_bytes(content)
    assert names(path) in ([("local", "this machine")], [("local", "this machine"), ("a", "host")])
    assert names(tmp_path) == names(tmp_path / "missing") == [("local", "this machine")]


def test_the_sample_is_valid_by_the_schema_that_is_printed() -> None:
    import jsonschema  # takes more than a second (tests/formats.py): not in each process that collects tests

    schema = json.loads(nbserver("schema"))
    sample = (CHECKOUT / "nbserver.sample.toml").read_text("utf-8")
    jsonschema.validate(tomllib.loads(sample), schema)
    assert sample.startswith("#:schema ./nbserver.schema.json\n")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"hosts": {"a": {"no_such_key": 1}}}, schema)
