"""An inventory on standard input."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory import standard_input
from nbserver.inventory.reader import load_for
from tests.checkout import SOURCE

INVENTORY = """\
hosts_from = "hosts.csv"
[defaults]
system = "linux"
user = "u"
key_file = "key"
sudo_password = { prompt = true }
notebook.password = { prompt = true }
"""


class Input:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Input(content))


def test_relative_paths_start_at_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("", "utf-8")
    (tmp_path / "hosts.csv").write_text("name,address\na,x\n", "utf-8")
    give(monkeypatch, INVENTORY.encode("utf-16"))
    found = load_for(Path("-"), ["a"])
    assert found.hosts["a"].key_file == tmp_path / "key"  # type: ignore[union-attr]
    assert found.path == tmp_path / "-" and found.sha256 == hashlib.sha256(INVENTORY.encode("utf-16")).hexdigest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "standard input: the inventory is empty"),
        (b" \n", "standard input: the inventory is empty"),
        (b"[hosts.a]\naddress = 'x'\nadress = 'x'\n", "standard input:3: [hosts.a] unknown key"),
        (b"[hosts.a]\naddress =\n", "standard input:2: this is not valid TOML"),
    ],
)
def test_what_is_wrong(monkeypatch: pytest.MonkeyPatch, content: bytes, words: str) -> None:
    give(monkeypatch, content)
    with pytest.raises(InventoryError) as error:
        load_for(Path("-"), ["a"])
    assert words in str(error.value)


def test_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "LIMIT", 10)
    give(monkeypatch, b"x" * 11)
    with pytest.raises(InventoryError, match="the inventory is larger than 10 bytes"):
        load_for(Path("-"), ["a"])


def test_in_a_pipe_there_are_no_prompts(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("", "utf-8")
    (tmp_path / "hosts.csv").write_text("name,address\na,127.0.0.1\n", "utf-8")

    def nbserver(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nbserver", *arguments, "-i", "-"]
        return subprocess.run(
            command, input=INVENTORY, cwd=tmp_path, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60, check=False
        )

    found = nbserver("plan", "a")
    assert found.returncode == 2 and "there is no terminal for the prompt" in found.stderr
    assert nbserver("render", "a", "-o", "out").returncode == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["hosts"].keys() == {"a"}
