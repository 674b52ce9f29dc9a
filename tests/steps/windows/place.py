"""A folder of a test on the real engine, with the prelude of the scripts and access lists that start as without being set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.render.step_files import PRELUDE
from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine
from tests.steps.windows.test_python import DRIVE, STAND_INS

SETTINGS = '$Settings = ConvertFrom-Json \'{"scope": "machine", "skip": [], "notebook": {"directory": "%ProgramData%\\\\nbserver\\\\notebooks"}}\'; '
SERVICE = "S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054"
LISTS = rf"C:\nbserver-test-{os.getpid()}"
FORGET = "[IO.Directory]::Delete((Get-StandInFolder acl), $true)"
PRIVATE = "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
REMOVE_LINK = "function Remove-Link([string]$Path, [bool]$IsFolder) { & 'Z:\\bin\\rm' ($Path -replace '^Z:', '' -replace '\\\\', '/') }; "


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        stand_ins = "\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("state", "json", "acl", "scheduled_tasks"))
        own = f'function global:Get-StandInFolder([string]$Name) {{ [IO.Directory]::CreateDirectory("{LISTS}\\$Name").FullName }}'  # other tests have lists too
        opened.keep(f"{stand_ins}\n{own}")
        opened.keep(f"$Mode = 'undo'; {SETTINGS}\n{prelude(*(name.rpartition('/')[2] for name in PRELUDE['ps_scripts', 'machine']))}")
        yield opened
        opened.run(f"[IO.Directory]::Delete('{LISTS}', $true)")


class Place:
    """A folder of the test: `state` is the state folder, `target` what no link may reach. All lists start as without being set."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.folder = session, folder
        self.state, self.target = folder / "state", folder / "target"
        for path in (self.state, self.target):
            path.mkdir()
        (self.target / "kept.txt").write_text("kept")
        session.run(FORGET)

    def run(self, script: str) -> list[str]:
        state = host_path(self.state)
        places = f"$StateFolder = '{state}'; $RecordFile = '{state}\\record.jsonl'; $Programs = '{host_path(self.folder)}\\programs'; $Run.Step = 'notebook'; "
        return self.session.run(places + f"$Settings.notebook.directory = '{host_path(self.folder)}\\data'; " + REMOVE_LINK + script)

    def refused(self, script: str) -> str:
        with pytest.raises(EngineError) as error:
            self.run(script)
        return str(error.value)

    def access(self, path: Path | str) -> str:
        name = path if isinstance(path, str) else host_path(path)
        (found,) = self.session.run(f"[string](Get-Acl -LiteralPath '{name}').GetSecurityDescriptorSddlForm('Owner, Access')")
        return found

    def set_access(self, path: Path | str, sddl: str) -> None:
        name = path if isinstance(path, str) else host_path(path)
        self.session.run(
            f"$acl = Get-Acl -LiteralPath '{name}'; $acl.SetSecurityDescriptorSddlForm('{sddl}'); Set-StandInAccess '{name}'.TrimEnd('\\') $acl.Sddl"
        )


@pytest.fixture
def place(session: Session, tmp_path: Path) -> Place:
    return Place(session, tmp_path)


STATE, NOTEBOOKS = r"C:\ProgramData\nbserver", r"C:\nbserver test data\notebooks"
ABOVE = NOTEBOOKS.rpartition("\\")[0]


@pytest.fixture
def notebooks(place: Place) -> Iterator[Place]:
    place.session.run(f"[void](New-Item -ItemType Directory -Force -Path '{NOTEBOOKS}')")
    place.set_access("C:\\", DRIVE)
    yield place
    place.session.run(r"[IO.Directory]::Delete('C:\nbserver test data', $true)")
