"""`nbserver render` of many hosts: one script at a time, step files once, and nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.approval import manifest
from nbserver.base.errors import CatalogError
from nbserver.cli.program import cli
from nbserver.commands import export, render
from nbserver.export.exported import Exported
from nbserver.inventory import reader
from tests.checkout import SOURCE
from tests.formats import validate
from tests.scanned import scanned

DEFAULTS = '[defaults]\nsystem = "linux"\nuser = "root"\nnotebook.password = { env = "N" }\n'


def inventory(folder: Path, hosts: int) -> Path:
    file = folder / "nbserver.toml"
    file.write_text(DEFAULTS + "".join(f'[hosts.lin{n}]\naddress = "10.0.{n // 256}.{n % 256}"\n' for n in range(hosts)))
    return file


def test_what_is_streamed_is_what_a_manifest_of_all_entries_says(tmp_path: Path) -> None:
    hosts = list(reader.load(inventory(tmp_path, 12)).hosts.values())
    found = render.files(hosts)
    text = found[manifest.FILE_NAME].decode("ascii")
    content = json.loads(text)
    assert text == manifest.to_text(content) and list(content["hosts"]) == sorted(host.name for host in hosts)


def test_step_files_are_read_once(tmp_path: Path) -> None:
    """Counted by an audit hook in a process of its own, because a hook cannot be removed and the files may be read already."""
    code = """
import sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from nbserver.cli import program
program.cli(sys.argv[1:], standalone_mode=False)
scripts = [name for name in opened if "/linux_scripts/" in name]
locks = [name for name in opened if name.endswith("linux.txt")]
assert len(scripts) == len(set(scripts)) > 40 and len(locks) == 1, (len(scripts), len(set(scripts)), locks)
"""
    command = [sys.executable, "-c", code, "render", "lin*", "-i", str(inventory(tmp_path, 20)), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}, cwd=tmp_path)
    assert len(list((tmp_path / "out").iterdir())) == 21


def test_a_script_that_cannot_be_rendered_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    hosts = list(reader.load(inventory(tmp_path, 3)).hosts.values())
    render.write(render.RenderedFolder(hosts), tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    class Failing:
        def items(self) -> Iterator[tuple[str, bytes]]:
            yield "lin0.sh", b"other"
            raise CatalogError("test", "no entry")

    with pytest.raises(CatalogError):
        render.write(Failing(), tmp_path / "out")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_only_the_manifest_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    render.write(render.RenderedFolder(list(reader.load(inventory(tmp_path, 5)).hosts.values())), tmp_path / "out")
    assert len(flushed) == 1


def test_scripts_have_the_access_list_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, a file keeps the one that it was created with, and Python creates a folder of mode 0700 for its owner alone."""
    modes: list[int] = []
    mkdir = os.mkdir
    monkeypatch.setattr(os, "mkdir", lambda path, mode=0o777: modes.append(mode) or mkdir(path, mode))
    render.write(render.RenderedFolder(list(reader.load(inventory(tmp_path, 3)).hosts.values())), tmp_path / "out")
    export.write([Exported("a/user-data", b"1")], tmp_path / "exported")
    assert len(modes) == 5 and 0o700 not in modes
    assert len([*(tmp_path / "out").iterdir()]) == 4 and [*(tmp_path / "exported").iterdir()] == [tmp_path / "exported" / "a"]


def test_a_script_that_a_virus_scanner_looks_at_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = list(reader.load(inventory(tmp_path, 3)).hosts.values())
    held = scanned(monkeypatch)
    render.write(render.RenderedFolder(hosts), tmp_path / "out")
    export.write([Exported("a/user-data", b"1")], tmp_path / "exported")
    assert len(held) == 5 and len([*(tmp_path / "out").iterdir()]) == 4 and (tmp_path / "exported" / "a" / "user-data").exists()


def test_hosts_share_the_lock_and_the_body(tmp_path: Path) -> None:
    from nbserver.render.render import render_all

    (one, _), (other, _) = render_all(list(reader.load(inventory(tmp_path, 2)).hosts.values()))
    assert [part is same for part, same in zip(one.parts, other.parts, strict=True)] == [False, True, True]
    assert len(one.parts[0]) < 10_000 < len(one.parts[1]) < len(one.parts[2]) and one.text.encode("ascii") == one.code


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
def test_memory_does_not_grow_with_the_scripts(tmp_path: Path) -> None:
    """300 scripts have 66 MB."""
    code = """
import resource, sys
from nbserver.cli import program
program.cli(["render", "lin0", *sys.argv[1:]], standalone_mode=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
program.cli(["render", "lin*", *sys.argv[1:]], standalone_mode=False)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert grown < 15, grown
"""
    command = [sys.executable, "-c", code, "-i", str(inventory(tmp_path, 300)), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}, cwd=tmp_path)


def test_the_answer_as_json(tmp_path: Path) -> None:
    inventory = tmp_path / "nbserver.toml"
    inventory.write_text('[hosts.lin1]\nsystem = "linux"\naddress = "192.0.2.7"\nuser = "anna"\nnotebook.password = { env = "X" }\n')
    out = tmp_path / "out"
    given = ["render", "lin1", "-i", str(inventory), "-o", str(out), "--json"]
    written, checked = (json.loads(CliRunner().invoke(cli, [*given, *check]).stdout) for check in ([], ["--check"]))
    validate("answer", written)
    assert written == checked
    assert written["manifest_sha256"] == hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()
    assert [script["sha256"] for script in written["scripts"]] == [hashlib.sha256((out / "lin1.sh").read_bytes()).hexdigest()]
