"""The auditor's command: it passes what was rendered, and no changed byte gets by, wherever it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer import audit, catalog, inventory, manifest
from installer.errors import ApprovalError
from installer.render import render
from installer.rendering import files, write
from installer.script import Script

SAMPLE = Path(__file__).parents[1] / "nbserver.sample.toml"


@pytest.fixture(scope="module")
def script() -> Script:
    return render(inventory.load(SAMPLE).hosts["win1"], catalog.load())


def folder_with(path: Path, script: Script, text: str) -> Path:
    """A rendered folder whose script is `text`, and whose manifest agrees with that."""
    content = manifest.build([script], {script.host: "0" * 64})
    content["hosts"][script.host]["sha256"] = hashlib.sha256(text.encode("ascii")).hexdigest()
    path.mkdir(exist_ok=True)
    (path / manifest.FILE_NAME).write_text(json.dumps(content), encoding="utf-8")
    (path / script.file_name).write_bytes(text.encode("ascii"))
    return path


def test_what_was_rendered_passes_and_names_what_runs(tmp_path: Path) -> None:
    hosts = inventory.load(SAMPLE).select(["lab"])
    write(files(hosts), tmp_path)
    report = "\n".join(audit.audit(tmp_path))
    for part in ("win1.ps1  sha256 ", "win2.ps1  sha256 ", "ie_esc ", '"port": 9999', "5f066036aebfaa3aa9aa4d52f852022f24641e7b5bc52f2bf8bb7acbe7bab958"):
        assert part in report


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_other_text_passes_for_the_script(data: st.DataObject, script: Script, tmp_path_factory: pytest.TempPathFactory) -> None:
    at = data.draw(st.integers(0, len(script.text)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=3))
    text = script.text[:at] + put + script.text[at + cut :]
    folder = folder_with(tmp_path_factory.getbasetemp() / "changed", script, text)
    if text == script.text:
        audit.audit(folder)
        return
    with pytest.raises(ApprovalError):
        audit.audit(folder)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("# nbserver", "does not begin with the header"),
        ('"port": 9999', "does not begin with the header"),
        ("numpy==", "has not the lock"),
        (")\n\n# ==== body", "more than a lock"),
        ("port_retries = 0", "does not end with the body"),
    ],
)
def test_the_message_says_which_part_was_changed(where: str, words: str, script: Script, tmp_path: Path) -> None:
    assert script.text.count(where) >= 1
    text = script.text.replace(where, where.replace("#", "#!", 1) if where.startswith("#") else "Write-Host x\n" + where if where.startswith(")") else "x" + where, 1)
    with pytest.raises(ApprovalError, match=words):
        audit.audit(folder_with(tmp_path / "changed", script, text))


def test_a_script_of_another_hash_and_a_missing_one_are_refused(script: Script, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "rendered", script, script.text)
    (folder / script.file_name).write_text(script.text + "# more\n", encoding="ascii", newline="")
    with pytest.raises(ApprovalError, match="has not the SHA-256 of the manifest"):
        audit.audit(folder)
    (folder / script.file_name).unlink()
    with pytest.raises(ApprovalError, match="cannot be read"):
        audit.audit(folder)
