"""What runs on a host, byte for byte: a change shows as a difference in git, where a person reviews it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nbserver.approval import manifest
from nbserver.commands import render
from nbserver.render.bash import settings_block
from tests import golden

REFRESH = "look at the difference, and if it is meant: python -m tests.golden"


def test_the_rendered_files_are_those_in_git() -> None:
    rendered = golden.files()
    kept = {path.name for path in golden.FOLDER.iterdir() if path.suffix in (".ps1", ".sh", ".json")}
    assert rendered.keys() == kept, f"other files are rendered; {REFRESH}"
    for name, data in rendered.items():
        # Lines rather than the whole: a failure then shows what changed.
        assert data.decode("ascii").split("\n") == (golden.FOLDER / name).read_bytes().decode("ascii").split("\n"), f"{name}: {REFRESH}"


def test_they_are_the_same_wherever_they_are_rendered(tmp_path: Path) -> None:
    """Neither the folder of the inventory nor the order of its keys is in them."""
    for name in ("nbserver.toml", "site-catalog.toml", "site-lock.txt"):
        shutil.copy(golden.FOLDER / name, tmp_path)
    inventory = tmp_path / "nbserver.toml"
    head, *hosts = inventory.read_text("utf-8").replace("[hosts.", "\0[hosts.").split("\0")
    turned = ["\n".join([settings[0], *reversed(settings[1:])]) for settings in (host.splitlines() for host in hosts)]
    inventory.write_text("\n".join([head, *turned]) + "\n", "utf-8")
    from nbserver.inventory.reader import load

    assert render.files(list(load(inventory).hosts.values())) == golden.files()


def test_the_check_of_render_knows_them(tmp_path: Path) -> None:
    from nbserver.base.errors import ApprovalError

    files = golden.files()
    kept = {path.name: path.read_bytes() for path in golden.FOLDER.iterdir() if path.suffix in (".ps1", ".sh", ".json")}
    render.write(kept, tmp_path)
    render.compare(files, tmp_path)
    render.write(files, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    (tmp_path / "least.ps1").write_bytes(files["least.ps1"].replace(b"9999", b"9998"))
    (tmp_path / "most.ps1").unlink()
    with pytest.raises(ApprovalError, match=r"least\.ps1 differs from what this release renders, most\.ps1 is missing"):
        render.compare(files, tmp_path)


def test_the_manifest_tells_what_stands_in_the_scripts() -> None:
    import hashlib

    content = json.loads((golden.FOLDER / manifest.FILE_NAME).read_bytes())
    assert list(content["hosts"]) == ["least", "linux-least", "linux-most", "most"]
    for host, entry in content["hosts"].items():
        script = (golden.FOLDER / entry["script"]).read_bytes()
        assert hashlib.sha256(script).hexdigest() == entry["sha256"]
        assert entry["settings"]["host"] == host
        if entry["script"].endswith(".sh"):
            assert settings_block(entry["settings"]).encode("ascii") in script
        else:
            literal = script.split(b"ConvertFrom-Json '", 1)[1].split(b"'", 1)[0]
            assert json.loads(literal) == entry["settings"]
        lock = re.split(rb"^(?:\$Lock = @|LOCK=)\(\n", script, flags=re.MULTILINE)[1].split(b"\n)\n", 1)[0].decode("ascii")
        lines = "".join(line.strip().strip("'") + "\n" for line in lock.splitlines())
        assert hashlib.sha256(lines.encode("ascii")).hexdigest() == entry["lock_sha256"]


def test_the_hash_of_the_body_is_published() -> None:
    lines = golden.PUBLISHED.read_text(encoding="utf-8").splitlines()
    assert [line for line in golden.published() if line not in lines] == [], REFRESH


def test_git_keeps_their_line_ends() -> None:
    root = golden.FOLDER.parents[1]
    if not shutil.which("git") or not (root / ".git").exists():
        pytest.skip("this needs git and a checkout")
    names = [
        "tests/golden/least.ps1",
        "tests/golden/manifest.json",
        "ps_scripts/main.ps1",
        "linux_scripts/main.sh",
        "tests/golden/site-lock.txt",
    ]
    done = subprocess.run(["git", "check-attr", "text", "eol", "--", *names], cwd=root, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.endswith("eol: lf")] == [f"{name}: eol: lf" for name in names]
