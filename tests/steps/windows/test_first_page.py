"""The first page on a Windows host, on the real engine: written once, renewed while nobody has changed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.render.first_page import first_page
from nbserver.render.powershell import first_page_block
from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(
            prelude(
                "run", "events", "envelope", "part_data", "hashes", "record", "files", "removal", "data_folders", "first_page", scope="user"
            )
        )
        yield opened


class Page:
    """A folder for notebooks of its own, and a record."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.file, self.record = session, folder / "notebooks" / "Welcome.ipynb", folder / "record"
        self.file.parent.mkdir()

    def run(self, language: str | None, script: str) -> list[str]:
        return self.session.run(
            f"""
            {first_page_block(language)}
            $Settings = ConvertFrom-Json '{{"notebook": {{"directory": ""}}}}'; $Settings.notebook.directory = '{host_path(self.file.parent)}'
            $TopFolders = @(); $RecordFile = '{host_path(self.record)}'; $Run.Step = 'notebook'; $FirstPageNotes.Refused = $false
            $Run.Differences = New-Object Collections.ArrayList
            {script}; Compare-FirstPage; [string]$Run.Differences.Count; @(Read-Record) | ForEach-Object {{ $_.before }}"""
        )

    def write(self) -> str:
        """The code of the warning, or nothing."""
        said = self.run("en", "Add-FirstPage; Get-Said")
        return json.loads(said[0])["code"] if said[0].startswith("{") else ""

    def undo(self) -> None:
        self.run("en", "foreach ($line in @(Read-Record)) { Undo-Line $line | Out-Null }; [void](Get-Said); $FirstPage = ''")


@pytest.fixture
def page(session: Session, tmp_path: Path) -> Page:
    return Page(session, tmp_path)


def test_it_is_written_renewed_and_removed_while_nobody_has_changed_it(page: Page) -> None:
    assert page.run(None, "Add-FirstPage") == ["0"] and not page.file.exists()
    assert page.run("en", "") == ["1"]
    differs, english = page.run("en", "Add-FirstPage")
    assert differs == "0" and page.file.read_bytes().decode() == first_page("en")
    assert page.run("ja", "") == ["1", english]
    differs, japanese = page.run("ja", "Add-FirstPage")
    assert differs == "0" and page.file.read_bytes().decode() == first_page("ja") and len(japanese) == 64 and japanese != english
    page.undo()
    assert list(page.file.parent.iterdir()) == [] and page.record.read_text() == ""


def test_what_somebody_changed_or_removed_stays_so(page: Page) -> None:
    page.run("en", "Add-FirstPage")
    page.file.write_text("mine")
    assert page.run("fr", "Add-FirstPage")[0] == "0" and page.file.read_text() == "mine"
    page.file.unlink()
    assert page.run("fr", "Add-FirstPage")[0] == "0" and not page.file.exists()
    page.file.write_text("mine")
    page.undo()
    assert page.file.read_text() == "mine" and page.record.read_text() == ""


def test_an_interrupted_run_is_finished_by_the_next(page: Page) -> None:
    (page.file.parent / "Welcome.ipynb.new").write_text("half")
    script = 'Save-Before first_page (Get-FirstPagePath) "absent $(Get-Sha256 $Utf8.GetBytes((Get-FirstPage)))" -Replace'
    differs, states = page.run("en", script)
    assert differs == "1" and states.startswith("absent ")
    assert page.run("en", "Add-FirstPage")[0] == "0" and page.file.read_bytes().decode() == first_page("en")
    assert [file.name for file in page.file.parent.iterdir()] == ["Welcome.ipynb"]


def test_what_a_notebook_left_in_its_place_never_fails_a_run(page: Page) -> None:
    new = page.file.with_name("Welcome.ipynb.new")
    new.mkdir()
    assert page.write() == "first-page-not-written"
    new.rmdir()
    assert page.write() == "" and page.file.read_bytes().decode() == first_page("en")
    page.file.chmod(0o444)
    assert page.run("ja", "Add-FirstPage")[0] == "0" and page.file.read_bytes().decode() == first_page("ja")
    page.file.unlink()
    with page.file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    states = "(Get-FirstPageState (Get-FirstPagePath))"
    assert page.run("ja", states)[0] == "other"


def test_the_line_in_the_record_is_replaced_in_one_write(page: Page) -> None:
    count = "$Writes = @{ Count = 0 }; $Original = ${function:Write-Record}; function Write-Record($Lines) { $Writes.Count++; & $Original $Lines }; "
    assert page.run("en", count + "Add-FirstPage; [string]$Writes.Count")[0] == "2"


def test_undo_acts_only_on_what_can_be_a_folder_for_notebooks(page: Page) -> None:
    page.run("en", "Add-FirstPage")
    other = "(Get-FirstPagePath).Replace('\\Welcome', '\\..\\notebooks\\Welcome')"
    with pytest.raises(EngineError, match=r"record, the list of what undo restores, contains a line for the notebook folder "):
        page.run("en", f"& $Restore.first_page {other} @(Read-Record)[0].before")
    assert page.file.exists()
