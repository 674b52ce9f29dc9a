r"""Links, and folders that others may replace, on the real engine: what administrators do there must not reach what they lead to.

Wine makes no junctions. A symbolic link to a folder, in the file system below it, is what it shows as a reparse point, so those stand
for junctions here. Wine cannot remove one (it removes what it leads to), so `Remove-Link` is one that does.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.render.step_files import PRELUDE
from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine
from tests.steps.windows.test_python import CLOSED, DRIVE, OPEN, STAND_INS

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
        stand_ins = "\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("state", "acl", "scheduled_tasks"))
        own = f'function global:Get-StandInFolder([string]$Name) {{ [IO.Directory]::CreateDirectory("{LISTS}\\$Name").FullName }}'  # other tests have lists too
        opened.keep(f"{stand_ins}\n{own}")  # before the script is parsed: a name of .NET leads to a stand-in then
        opened.keep(f"$Mode = 'undo'; {SETTINGS}\n{prelude(*PRELUDE['ps_scripts'][0])}")
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
            f"$acl = Get-Acl -LiteralPath '{name}'; $acl.SetSecurityDescriptorSddlForm('{sddl}'); Set-Acl -LiteralPath '{name}' -AclObject $acl"
        )


@pytest.fixture
def place(session: Session, tmp_path: Path) -> Place:
    return Place(session, tmp_path)


# -- links

LAST = "{state}\\work"
BELOW = "{state}\\work\\inner"
CHANGES = {
    "access": "Set-Access '{path}' $ServiceWrites",
    "a folder": "Add-Folder '{path}' $ServiceWrites",
    "undo of access": "& $Restore.access '{path}' $AdministratorsOnly",
    "undo of a folder": "& $Restore.folder '{path}'",
    "undo of a notebook folder": "& $Restore.data_folder '{path}'",
    "undo of a grant": "function Get-FolderNameFault {{ }}; & $Restore.grant '{path}'",
    "undo of an installation": "& $Restore.inno '{path}'",
    "a text file": "Set-TextFile '{path}\\kept.txt' 'x'",
    "a copy of a file": "Save-FileBefore '{path}\\kept.txt'",
    "undo of a file": "& $Restore.file '{path}\\kept.txt' $null",
}


@pytest.mark.parametrize("where", [LAST, BELOW])
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_changed_through_a_link(place: Place, change: str, where: str) -> None:
    """As a kernel can make of `work`, which its account may write in."""
    (place.target / "inner").mkdir()
    (place.target / "inner" / "kept.txt").write_text("kept")
    (place.state / "work").symlink_to(place.target)
    before = place.access(place.target)
    path = where.format(state=host_path(place.state))
    said = place.refused(CHANGES[change].format(path=path))
    assert "is a link" in said and "Look at where it leads and remove" in said
    assert sorted(str(path.relative_to(place.target)) for path in place.target.rglob("*")) == ["inner", "inner/kept.txt", "kept.txt"]
    assert [path.read_text() for path in sorted(place.target.rglob("*.txt"))] == ["kept"] * 2
    assert [place.access(path) for path in (place.target, place.target / "inner")] == [before] * 2
    assert {path.name for path in place.state.iterdir()} <= {"work", "record.jsonl"}


def test_a_notebook_folder_behind_a_link_is_refused(place: Place) -> None:
    (place.folder / "data").symlink_to(place.target)
    before = place.access(place.target)
    for path in (place.folder / "data", place.folder / "data" / "deeper"):
        assert "is a link" in place.refused(f"Add-DataFolder '{host_path(path)}'")
    assert place.access(place.target) == before and not (place.target / "deeper").exists()


def test_a_removal_takes_links_for_what_they_are(place: Place) -> None:
    work = place.state / "work"
    deep = work / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "read only.txt").write_text("x")
    (deep / "read only.txt").chmod(0o444)
    for link in (work / "link", deep / "link"):
        link.symlink_to(place.target)
    place.run(f"Remove-Folder '{host_path(work)}'")
    assert not work.exists()
    assert (place.target / "kept.txt").read_text() == "kept"


def test_a_folder_is_removed_however_deep_it_is(place: Place) -> None:
    folder = place.state / "work"
    for _ in range(12):
        folder = folder / ("n" * 30)
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    place.run(f"Remove-Folder '{host_path(place.state)}\\work'")
    assert not (place.state / "work").exists()


def test_a_folder_cannot_become_a_link_while_it_is_changed(place: Place) -> None:
    """Windows makes no link of a folder that is not empty, and renames none in which a file is open."""
    (place.state / "work").mkdir()
    look = "function Set-Acl($LiteralPath, $AclObject) { $script:seen = [IO.Directory]::GetFiles($LiteralPath); try { [IO.File]::Delete($script:seen[0]); 'gone' } catch { 'held' } }; "
    assert place.run(f"{look}Set-Access '{host_path(place.state)}\\work' $ServiceWrites") == ["held"]
    assert list((place.state / "work").iterdir()) == []


# -- undo keeps to what is nbserver's


def test_undo_leaves_what_is_not_nbservers(place: Place) -> None:
    foreign = place.folder / "state of somebody"
    foreign.mkdir()
    (place.state / "cache").mkdir()
    own, other = host_path(place.state), host_path(foreign)
    lines = [
        ("folder", rf"{own}\cache", None),
        ("folder", other, None),
        ("file", rf"{other}\kept.txt", None),
        ("access", rf"{own}\..\state of somebody", "D:"),
        ("msi", rf"{other}\x.msi", None),
        ("file", rf"{own}\config", rf"{other}\copy"),
        ("grant", other, None),
        ("data_folder", other, None),
    ]
    (foreign / "kept.txt").write_text("kept")
    record = "".join(
        json.dumps({"v": 1, "step": "notebook", "kind": kind, "key": key, "before": before}) + "\n" for kind, key, before in lines
    )
    (place.state / "record.jsonl").write_text(record)
    said = place.run('foreach ($line in @(Read-Record)) { try { Undo-Line $line | Out-Null; "done $($line.key)" } catch { "$_" } }')
    assert said[0] == rf"done {own}\cache" and not (place.state / "cache").exists()
    assert all("the record names" in text for text in said[1:]) and "write it into the inventory and run undo again" in said[-1]
    assert (foreign / "kept.txt").read_text() == "kept"
    assert len((place.state / "record.jsonl").read_text().splitlines()) == 7
    (place.state / "record.jsonl").unlink()


# -- who may replace the notebook folder

STATE, NOTEBOOKS = r"C:\ProgramData\nbserver", r"C:\nbserver test data\notebooks"


@pytest.fixture
def notebooks(place: Place) -> Iterator[Place]:
    place.session.run(f"[void](New-Item -ItemType Directory -Force -Path '{NOTEBOOKS}')")
    place.set_access("C:\\", DRIVE)
    yield place
    place.session.run(r"[IO.Directory]::Delete('C:\nbserver test data', $true)")


ABOVE = NOTEBOOKS.rpartition("\\")[0]


@pytest.mark.parametrize(
    ("path", "sddl", "words"),
    [
        (NOTEBOOKS, OPEN, "S-1-5-11 has access to " + NOTEBOOKS),  # what a folder on a drive inherits
        (ABOVE, OPEN, "S-1-5-11 has access to " + ABOVE),
        (ABOVE, CLOSED + "(A;;DT;;;BU)", "S-1-5-32-545 has access to " + ABOVE),
        (ABOVE, CLOSED + "(A;;SD;;;BU)", "S-1-5-32-545 has access"),
        (NOTEBOOKS, CLOSED + "(A;;WD;;;BU)", "S-1-5-32-545 has access"),
        (NOTEBOOKS, CLOSED + "(A;;WO;;;WD)", "S-1-1-0 has access"),
        (NOTEBOOKS, CLOSED + "(A;;GA;;;WD)", "S-1-1-0 has access"),
        (ABOVE, CLOSED.replace("O:SY", "O:BU"), "belongs to S-1-5-32-545"),
        ("C:\\", DRIVE + "(A;;DT;;;BU)", "S-1-5-32-545 has access to C:\\"),
        ("C:\\", DRIVE + "(A;;WO;;;BU)", "S-1-5-32-545 has access to C:\\"),
    ],
)
def test_a_folder_that_others_may_replace_is_refused(notebooks: Place, path: str, sddl: str, words: str) -> None:
    notebooks.set_access(path, sddl)
    before = notebooks.access(NOTEBOOKS)
    said = notebooks.refused(f"Add-DataFolder '{NOTEBOOKS}'")
    assert words in said and "others could put another folder in its place" in said
    assert notebooks.access(NOTEBOOKS) == before


@pytest.mark.parametrize(
    ("path", "sddl"),
    [
        (NOTEBOOKS, CLOSED),
        (
            NOTEBOOKS,
            CLOSED.replace("D:AI", "D:AI(A;OICI;0x1200af;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;DT;;;BU)"),
        ),  # people may write in it, and delete what is in it
        (NOTEBOOKS, PRIVATE.replace("O:BA", "O:S-1-5-21-1-2-3-1001") + "(A;OICI;FA;;;S-1-5-21-1-2-3-1001)(A;;FA;;;S-1-3-4)"),
        ("C:\\", DRIVE + "(A;;0x1301bf;;;AU)"),
    ],
)
def test_a_folder_that_stays_where_it_is_is_taken(notebooks: Place, path: str, sddl: str) -> None:
    notebooks.set_access(path, sddl)
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'")
    assert f"(A;OICI;0x1301bf;;;{SERVICE})" in notebooks.access(NOTEBOOKS)


def test_a_new_folder_does_not_inherit_what_a_drive_gives_everybody(notebooks: Place) -> None:
    new = ABOVE + r"\new\notebooks"
    notebooks.run(f"Add-DataFolder '{new}'")
    assert notebooks.access(new) == f"{PRIVATE}(A;OICI;0x1301bf;;;{SERVICE})"
    assert notebooks.access(ABOVE + r"\new") == PRIVATE
    assert [json.loads(line)["kind"] for line in (notebooks.state / "record.jsonl").read_text().splitlines()] == ["data_folder", "grant"]


REFUSED = [
    "C:\\",
    "D:\\",
    r"C:\windows",
    r"C:\WINDOWS\System32\x",
    r"C:\Program Files",
    r"C:\Program Files\x",
    r"C:\Program Files (x86)\x",
    r"C:\ProgramData",
    r"C:\ProgramData\\",
    r"C:\Users",
    r"C:\users\anna",
    r"C:\PROGRA~1\x",
    r"C:\windows.\x",
    r"C:\data \x",
    r"D:\$Recycle.Bin\x",
    r"D:\System Volume Information",
    r"C:\ProgramData\nbserver",
    r"C:\ProgramData\nbserver\service",
    r"C:\ProgramData\nbserver\work\x",
    r"C:\ProgramData\nbserver\runs",
    r"C:\Program Files\nbserver",
    r"C:\\windows",
    r"C:\\Program Files\\x",
    "C:/windows",
    r"C:\data\..\windows",
    r"C:\windows::$INDEX_ALLOCATION",
    r"\\?\C:\windows",  # other names of these
]
TAKEN = [
    r"C:\ProgramData\nbserver\notebooks",
    r"C:\ProgramData\nbserver\notebooks\x",
    r"D:\notebooks",
    r"C:\ProgramData\site",
    r"C:\windows2",
    r"C:\Users\anna\notebooks",
    r"D:\~\x",
    "D:\\notebooks\\",
]


def test_folders_of_windows_are_refused_by_name(session: Session) -> None:
    script = f'{SETTINGS} foreach ($one in $input) {{ try {{ Assert-DataFolder $one; "taken $one" }} catch {{ "$_" }} }}'
    said = session.run(script, REFUSED)
    assert all(
        f"{path} cannot be notebook.directory: " in text and "Choose another folder in the inventory" in text
        for path, text in zip(REFUSED, said, strict=True)
    ), said
    assert session.run(script.replace("machine", "user"), REFUSED[:3]) == [f"taken {path}" for path in REFUSED[:3]], (
        "there the service is the user"
    )
    assert session.run(script, TAKEN) == [f"taken {path}" for path in TAKEN]


# -- undo takes the service's access away


def test_undo_takes_the_access_away_and_what_the_service_made(notebooks: Place) -> None:
    made = NOTEBOOKS + r"\made"
    notebooks.run(
        f"Add-DataFolder '{NOTEBOOKS}'; [void](New-Item -ItemType Directory '{made}'); [IO.File]::WriteAllText('{made}\\a.ipynb', 'x'); [IO.File]::WriteAllText('{NOTEBOOKS}\\b.ipynb', 'x')"
    )
    own = f"(A;OICI;FA;;;{SERVICE})"
    notebooks.set_access(made, f"O:LSD:PAI(A;OICI;FA;;;BA){own}(A;OICI;FA;;;LS)")
    notebooks.set_access(made + r"\a.ipynb", "O:LSD:AI(A;ID;FA;;;BA)(A;;FA;;;LS)")  # no order that Windows would make
    notebooks.set_access(NOTEBOOKS + r"\b.ipynb", f"O:S-1-5-21-1-2-3-1001D:AI(A;;FA;;;LS)(A;;FA;;;{SERVICE})(A;ID;FA;;;BA)")
    notebooks.run(f"& $Restore.grant '{NOTEBOOKS}'")
    assert SERVICE not in notebooks.access(NOTEBOOKS)
    assert notebooks.access(made) == "O:BAD:AI"
    assert notebooks.access(made + r"\a.ipynb") == "O:BAD:AI"
    assert notebooks.access(NOTEBOOKS + r"\b.ipynb") == "O:S-1-5-21-1-2-3-1001D:AI(A;;FA;;;LS)(A;ID;FA;;;BA)", (
        "what others made and gave stays so"
    )
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'")
    assert f"(A;OICI;0x1301bf;;;{SERVICE})" in notebooks.access(NOTEBOOKS), "and the next apply gives it back"


def test_what_could_not_be_taken_away_is_reported_and_the_rest_goes_on(notebooks: Place) -> None:
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'; [IO.File]::WriteAllText('{NOTEBOOKS}\\b.ipynb', 'x')")
    stubborn = "$real = ${function:Remove-Grant}; function Remove-Grant([string]$Path) { if ($Path -like '*.ipynb') { throw 'denied' }; . $real $Path }; "
    assert f"the service keeps its access to 1 files or folders in it, first {NOTEBOOKS}\\b.ipynb: denied" in notebooks.refused(
        f"{stubborn}& $Restore.grant '{NOTEBOOKS}'"
    )
    assert SERVICE not in notebooks.access(NOTEBOOKS)


@pytest.mark.parametrize("entry", ["(D;OICI;0x1301bf;;;{0})", "(A;OICIIO;0x1301bf;;;{0})", "(A;;0x1301bf;;;{0})"])
def test_an_entry_that_lets_nobody_in_is_no_access(notebooks: Place, entry: str) -> None:
    notebooks.set_access(NOTEBOOKS, CLOSED + entry.format(SERVICE))
    assert notebooks.run(f"[string](Test-ServiceGrant '{NOTEBOOKS}')") == ["False"]


# -- folders are made with their access list


@pytest.mark.parametrize(
    "make", ["Add-Folder '{folder}' $ServiceReads", "Save-FileBefore '{state}\\file'", "$StateFolder = '{folder}'; Initialize-StateFolder"]
)
def test_a_folder_is_closed_from_its_beginning(place: Place, make: str) -> None:
    """Wine keeps of a list whether everybody is let in, as the mode of its own file system. Nothing sets a list afterwards here."""
    (place.state / "file").write_text("x")
    never = "function Set-Acl { throw 'afterwards' }; function Test-Access { $true }; function Assert-StateFolder { }; "
    place.run(never + make.format(folder=host_path(place.folder / "made"), state=host_path(place.state)))
    (made,) = [path for path in (place.folder / "made", place.state / "before") if path.exists()]
    assert made.stat().st_mode & 0o007 == 0


# -- tasks


def test_a_task_of_somebody_else_is_removed_and_made_anew(place: Place) -> None:
    """They registered it before: while it is only replaced, it stays theirs to change."""
    name, action = f"nbserver-test-{os.getpid()}", "<Actions><Exec><Command>{}.exe</Command></Exec></Actions>"
    xml = f'<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">{action}</Task>'
    owner = f"[IO.File]::ReadAllText((Get-StandInTaskOwner '{name}')); "
    seize = f"[IO.File]::WriteAllText((Get-StandInTaskOwner '{name}'), 'mallory'); "
    command = f"Get-TaskText ([xml](Get-TaskXml '{name}')) 'Actions/Exec/Command'; "
    try:
        before, *rest = place.run(
            f"[void](Register-ScheduledTask -TaskName '{name}' -Xml '{xml.format('theirs')}'); {seize}{owner}Set-Task '{name}' '{xml.format('ours')}'; {owner}{command}"
        )
        assert before == "mallory" and rest == ["root", "ours.exe"]
        assert place.run(f"{seize}foreach ($line in @(Read-Record)) {{ Undo-Line $line | Out-Null }}; {owner}{command}") == [
            "root",
            "theirs.exe",
        ]
    finally:
        place.run(f"Unregister-ScheduledTask -TaskName '{name}' -Confirm:$false")


# -- what is read of the service's own


def test_the_log_of_the_server_is_read_from_its_end_and_through_no_link(place: Place) -> None:
    (place.state / "work").mkdir()
    log = place.state / "work" / "notebook.log"
    log.write_text("x" * 3_000_000 + "\none\ntwo\nthree")
    read = f"Read-LastLines '{host_path(log)}' 3"
    assert place.run(read) == ["one", "two", "three"]
    log.write_text("y" * 3_000_000)
    assert place.run(read) == ["y" * 16384]
    log.write_text("")
    assert place.run(read) == []
    log.unlink()
    (place.state / "work").rmdir()
    (place.state / "work").symlink_to(place.target)
    assert place.run(read.replace("notebook.log", "kept.txt")) == [f"it was not read, because {host_path(place.state)}\\work is a link"]


# -- what administrators run comes from where only they write


def test_openssl_reads_no_configuration_but_what_it_is_given(place: Place) -> None:
    """Its own folder was fixed when it was built, and is often one that anybody may make; the variable stands for it here."""
    (place.folder / "evil.cnf").write_text(
        "config_diagnostics = 1\nopenssl_conf = a\n[a]\nproviders = b\n[b]\nevil = c\n[c]\nmodule = evil.dll\nactivate = 1\n"
    )
    zip_file = (
        next(Path(os.environ["NBSERVER_TEST_WINDOWS"]).glob("openssl-*.zip"), None) if os.environ.get("NBSERVER_TEST_WINDOWS") else None
    )
    if not zip_file:
        pytest.skip("this needs NBSERVER_TEST_WINDOWS: a folder with OpenSSL for Windows")
    with zipfile.ZipFile(zip_file) as archive:
        names = [name for name in archive.namelist() if name.endswith((".exe", ".dll"))]
        archive.extractall(place.folder, names)
    program = next(place.folder.rglob("openssl.exe"))
    evil = f"$env:OPENSSL_CONF = '{host_path(place.folder)}\\evil.cnf'; $env:OPENSSL_MODULES = '{host_path(place.target)}'; "
    ask = f"try {{ Invoke-Program '{host_path(program)}' @('rand', '-hex', '4') -Quiet }} finally {{ $env:OPENSSL_CONF = $env:OPENSSL_MODULES = $null }}; $Run.Output"
    (said,) = place.run(evil + ask)
    assert re.fullmatch("[0-9a-f]{8}", said)


@pytest.mark.parametrize("program", ["cmd.exe", "python.exe"])
def test_no_program_is_given_the_machines_configuration_of_openssl(place: Place, program: str) -> None:
    """Python loads OpenSSL too. A variable that an earlier OpenSSL left may name a file in C:\\, where others can write, and that file
    names a DLL that would be loaded as an administrator."""
    evil = "$env:OpenSSL_Conf = 'C:\\OpenSSL-Win64\\bin\\openssl.cfg'; $env:OPENSSL_ENGINES = 'C:\\OpenSSL-Win64'; "
    copy = f"[IO.File]::Copy(\"$env:SystemRoot\\System32\\cmd.exe\", '{host_path(place.folder)}\\{program}'); "
    ask = f"try {{ Invoke-Program '{host_path(place.folder)}\\{program}' @('/c', 'set') -Quiet }} "
    ask += "finally { $env:OPENSSL_CONF = $env:OPENSSL_ENGINES = $null }; $Run.Output"
    said = place.run(evil + copy + ask)
    assert [line for line in said if "openssl" in line.lower()] == []
    assert [line for line in said if line.lower().startswith("systemroot=")], "the other variables are still there"


def test_commands_come_from_modules_of_windows_only(place: Place) -> None:
    module = place.folder / "modules" / "Planted"
    module.mkdir(parents=True)
    (module / "Planted.psm1").write_text("function Get-Planted { 'planted' }\n")
    (module / "Planted.psd1").write_text("@{ ModuleVersion = '1.0'; RootModule = 'Planted.psm1'; FunctionsToExport = 'Get-Planted' }\n")
    path = f"$before = $env:PSModulePath; $env:PSModulePath = '{host_path(module.parent)};' + $before; "
    ask = '\ntry { "$(Get-Command Get-Planted -ErrorAction SilentlyContinue)" } finally { $env:PSModulePath = $before }'
    assert place.session.run(path + prelude("run") + ask) == [""]
    assert place.session.run(path + ask) == ["Get-Planted"], "which is how it would come in"
