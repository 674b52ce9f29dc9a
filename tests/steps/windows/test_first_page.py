"""The first page on a Windows host, on the real engine: written once, renewed while nobody has changed it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.render.first_page import first_page
from nbserver.render.powershell import first_page_block
from tests.powershell.engine import Session, host_path, prelude, require_engine


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "events", "envelope", "hashes", "record", "files", "removal", "first_page", scope="user"))
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
            $TopFolder = ''; $RecordFile = '{host_path(self.record)}'; $Run.Step = 'notebook'
            $Run.Differences = New-Object Collections.ArrayList
            {script}; Compare-FirstPage; [string]$Run.Differences.Count; @(Read-Record) | ForEach-Object {{ $_.before }}"""
        )

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
    script = 'Set-FirstPageRecord (Get-FirstPagePath) "absent $(Get-Sha256 $Utf8.GetBytes((Get-FirstPage)))"'
    differs, states = page.run("en", script)
    assert differs == "1" and states.startswith("absent ")
    assert page.run("en", "Add-FirstPage")[0] == "0" and page.file.read_bytes().decode() == first_page("en")
    assert [file.name for file in page.file.parent.iterdir()] == ["Welcome.ipynb"]
