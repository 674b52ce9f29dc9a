"""What an auditor does without nbserver: make the manifest's hashes, and compare settings line by line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import NbserverError
from nbserver.render import bash, powershell
from nbserver.render.step_files import read_body
from tests import rendered_folders
from tests.checkout import CHECKOUT
from tests.rendered_folders import MANIFEST, put

DOCS = CHECKOUT / "docs"
KINDS = ("machines", "linux_user", "windows_user")


def rendered(kind: str, folder: Path) -> dict[str, bytes]:
    return rendered_folders.machines(folder) if kind == "machines" else getattr(rendered_folders, kind)()


def commands(name: str) -> list[str]:
    """The lines of a document that make a hash."""
    return re.findall(r"^ +(.*sha256sum.*)$", (DOCS / name).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_documented_commands_make_the_hashes_of_the_manifest(kind: str, tmp_path: Path) -> None:
    if not shutil.which("sha256sum"):
        pytest.skip("this needs sha256sum")
    files = rendered(kind, tmp_path)
    put(files, tmp_path / "rendered")
    assert len(commands("auditing.md")) == 3 and commands("body-hashes.md") == commands("auditing.md")[2:]
    for entry in json.loads(files[MANIFEST])["hosts"].values():
        made = []
        for command in commands("auditing.md"):
            done = subprocess.run(
                command.replace("win1.ps1", entry["script"]), shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
            )
            made.append(done.stdout.split()[0])
        assert made == [entry["sha256"], entry["head_sha256"], entry["body_sha256"]]


def lines_of_settings(text: str, host: str) -> list[str]:
    """The lines of a host's settings in the manifest, as they are there."""
    part = text.partition(f'    "{host}": {{\n')[2].partition('\n      "settings": {\n')[2].partition("\n      },\n")[0]
    return part.splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_of_a_script_are_the_lines_of_the_manifest(kind: str, tmp_path: Path) -> None:
    files = rendered(kind, tmp_path)
    text = files[MANIFEST].decode("ascii")
    for host, entry in json.loads(text)["hosts"].items():
        in_script = files[entry["script"]].decode("ascii")
        in_manifest = lines_of_settings(text, host)
        if entry["script"].endswith(".ps1"):
            block = in_script.partition("ConvertFrom-Json '\n{\n")[2].partition("\n}\n'\n")[0]
            assert [line.strip() for line in block.splitlines()] == [line.strip() for line in in_manifest]
        else:
            names = [line.partition("=")[0] for line in in_script.splitlines() if re.match(r"NB_\w+=", line)]
            assert names == variables(in_manifest)


def variables(lines: list[str]) -> list[str]:
    """The variables of bash for lines of a manifest, as a person derives them."""
    above: list[str] = []
    found = []
    for line in lines:
        key = re.match(r' +"(\w+)": (\{?)', line)
        if key is None:
            above.pop()
        elif key[2]:
            above.append(key[1])
        else:
            found.append("_".join(["NB", *above, key[1]]).upper())
    return found


# ---- a renderer does not rely on what was checked before it


LANGUAGES = [(powershell, "ps_scripts"), (bash, "linux_scripts")]


@pytest.mark.parametrize(("language", "kind"), LANGUAGES)
@pytest.mark.parametrize("host", ["x\ntouch pwned", "x'", "x y", "", "\u00e9", "con", "../x", None, 5, "x\n"])
def test_no_head_is_made_for_what_is_no_name_of_a_host(language: Any, kind: str, host: Any) -> None:
    with pytest.raises(NbserverError, match="is not a valid host name"):
        language.head({"host": host, "scope": "machine"}, (), read_body(kind, "machine"))


@pytest.mark.parametrize("language", [language for language, _ in LANGUAGES])
@pytest.mark.parametrize(
    "key", ["A='';TOUCH PWNED;X", "a b", "a-b", "A", "1a", "", "a\n", "\u00e4", "a'", "a=b", "a[$(id)]", "_a", 1, None]
)
def test_no_setting_has_a_name_that_is_code(language: Any, key: Any) -> None:
    for settings in ({key: "x"}, {"a": {"b": {key: "x"}}}, {"a": [{key: "x"}]}):
        with pytest.raises(NbserverError, match="is not valid: a key must begin with a letter from a to z"):
            language.settings_block(settings)


def test_two_settings_have_no_variable_in_common() -> None:
    with pytest.raises(NbserverError, match="the bash variable NB_"):
        bash.settings_block({"a": {"b": 1}, "a_b": 2})


@pytest.mark.parametrize("value", [1.5, {"a": 1}, ["a"], b"x"])
def test_a_variable_of_bash_is_one_plain_value(value: Any) -> None:
    with pytest.raises(NbserverError, match="NB_X has a value that a bash variable cannot store"):
        bash.literal(value, "NB_X")
