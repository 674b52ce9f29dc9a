r"""Links, and folders that others may replace, on the real engine: what administrators do there must not reach what they lead to.

Wine makes no junctions. A symbolic link to a folder, in the file system below it, is what it shows as a reparse point, so those stand
for junctions here. Wine cannot remove one (it removes what it leads to), so `Remove-Link` is one that does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.powershell.engine import Session, host_path, prelude, require_engine
from tests.steps.windows.place import (
    PRIVATE,
    SETTINGS,
    Place,
    notebooks,
    place,
    session,
)

__all__ = ["notebooks", "place", "session"]


# -- links

LAST = "{state}\\work"
BELOW = "{state}\\work\\inner"
CHANGES = {
    "access": "Set-Access '{path}' $ServiceWrites",
    "a folder": "Add-Folder '{path}' $ServiceWrites",
    "a new folder": "Add-Folder '{path}\\new' $ServiceWrites",
    "a new folder without a list": "Add-Folder '{path}\\new'",
    "undo of access": "& $Restore.access '{path}' $AdministratorsOnly",
    "undo of a folder": "& $Restore.folder '{path}'",
    "undo of a notebook folder": "& $Restore.data_folder '{path}'",
    "undo of a grant": "function Get-FolderNameFault {{ }}; & $Restore.grant '{path}'",
    "undo of an installation": "& $Restore.inno '{path}'",
    "undo of a setup": "& $Restore.bundle '{path}\\kept.txt' $null",
    "undo of a package": "& $Restore.msi '{path}\\kept.txt' $null",
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
    assert "is a link" in said and "Check where the link points, remove it" in said
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
    look = "function Use-AccessControl($Path, $Change) { if (-not $Change) { return New-Object Security.AccessControl.DirectorySecurity }; try { [IO.File]::Delete([IO.Directory]::GetFiles($Path)[0]); 'gone' } catch { 'held' } }; "
    assert place.run(f"{look}Set-Access '{host_path(place.state)}\\work' $ServiceWrites") == ["held"]
    assert list((place.state / "work").iterdir()) == []


def test_a_link_that_comes_before_a_folder_is_locked_is_refused(place: Place) -> None:
    work = place.state / "work"
    work.mkdir()
    comes = "$looks = @{ Count = 0 }; function Get-Link($Path) { $looks.Count++; if ($looks.Count -gt 1) { $Path } }; "
    assert "is a link" in place.refused(f"{comes}Lock-Folder '{host_path(work)}'")
    assert list(work.iterdir()) == [], "its file is closed, which removes it"


def test_nobody_replaces_a_folder_while_its_content_is_removed(place: Place) -> None:
    """Those of the programs are for administrators only, so they are not locked."""
    for name in ("state/work/inner", "programs/env"):
        (place.folder / name).mkdir(parents=True)
        (place.folder / name / "file").write_text("x")
    look = "function Clear-ReadOnly($Path) { if ([IO.File]::Exists($Path)) { foreach ($file in [IO.Directory]::GetFiles((Split-Path $Path), 'nb-*')) { "
    look += "try { [IO.File]::Delete($file) } catch { [void]$held.Add((Split-Path -Leaf (Split-Path $Path))) } } } }; "
    folder = host_path(place.folder)
    removed = f"Remove-Folder '{folder}\\state\\work'; Remove-Folder '{folder}\\programs\\env'; $held -join ' '"
    assert place.run(f"$held = New-Object Collections.ArrayList; {look}{removed}") == ["inner"]
    assert not (place.state / "work").exists() and not (place.folder / "programs" / "env").exists()


RESTORE, COPY, WRITE = r"& $Restore.file '{0}\file' '{0}\copy'", r"Copy-Over '{0}\copy' '{0}\file'", r"Write-TextFile '{0}\file' 'new'"


@pytest.mark.parametrize(
    ("change", "link"),
    [(RESTORE, "copy"), (RESTORE, "file"), (RESTORE, "file.new"), (COPY, "file"), (COPY, "file.new"), (WRITE, "file"), (WRITE, "file.new")],
)
def test_a_file_that_is_a_link_is_neither_read_nor_replaced(place: Place, change: str, link: str) -> None:
    """Wine shows a link to a file as that file."""
    files = {"copy": "copy", "file": "old", "file.new": "of a killed run"}
    for name, text in files.items():
        (place.state / name).write_text(text)
    state = host_path(place.state)
    said = place.refused(f"function Test-Link([string]$Path) {{ $Path -eq '{state}\\{link}' }}; " + change.format(state))
    assert f"{link} is a link" in said
    assert {path.name: path.read_text() for path in place.state.iterdir()} == files


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
        ("grant", r"C:\windows\temp", None),
        ("data_folder", r"C:\windows\temp", None),
        ("first_page", r"C:\windows\temp\Welcome.ipynb", "absent"),
    ]
    (foreign / "kept.txt").write_text("kept")
    record = "".join(
        json.dumps({"v": 1, "step": "notebook", "kind": kind, "key": key, "before": before}) + "\n" for kind, key, before in lines
    )
    (place.state / "record.jsonl").write_text(record)
    said = place.run('foreach ($line in @(Read-Record)) { try { Undo-Line $line | Out-Null; "done $($line.key)" } catch { "$_" } }')
    assert said[0] == rf"done {own}\cache" and not (place.state / "cache").exists()
    assert all("record.jsonl, the list of what undo restores, " in text and "who added this line" in text for text in said[1:])
    assert "but this path cannot be a notebook folder: " in said[-1]
    assert (foreign / "kept.txt").read_text() == "kept"
    assert len((place.state / "record.jsonl").read_text().splitlines()) == 8
    (place.state / "record.jsonl").unlink()


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("bundle", r"{state}\work\x.exe"),
        ("msi", r"{state}\notebooks\x.msi"),
        ("inno", r"{state}\work"),
        ("folder", r"{state}\notebooks"),
        ("folder", r"{state}\notebooks\deeper"),
        ("folder", r"{state}\runs"),
        ("folder", "{state}"),
        ("folder", "{state}\\"),
    ],
)
def test_undo_runs_no_program_of_notebooks_and_keeps_them_and_the_events(place: Place, kind: str, key: str) -> None:
    """The service may write in these folders, which are nbserver's: a line of the record does not make them programs of nbserver."""
    for name in ("work", "notebooks/deeper", "runs"):
        folder = place.state / name
        folder.mkdir(parents=True)
        (folder / "kept.txt").write_text("kept")
    line = {"v": 1, "step": "notebook", "kind": kind, "key": key.format(state=host_path(place.state)), "before": None}
    record = json.dumps(line) + "\n"
    (place.state / "record.jsonl").write_text(record)
    started = "function Invoke-Program { throw 'started' }; function Invoke-Setup { throw 'started' }; "
    said = place.refused(started + "foreach ($line in @(Read-Record)) { Undo-Line $line }")
    assert f"contains a line that nbserver did not write ({kind} {line['key']})" in said
    assert (place.state / "record.jsonl").read_text() == record
    assert sorted(path.parent.name for path in place.state.rglob("kept.txt")) == ["deeper", "runs", "work"]


# -- folders are made with their access list


@pytest.mark.parametrize(
    "make", ["Add-Folder '{folder}' $ServiceReads", "Save-FileBefore '{state}\\file'", "$StateFolder = '{folder}'; Initialize-StateFolder"]
)
def test_a_folder_is_closed_from_its_beginning(place: Place, make: str) -> None:
    """Wine keeps of a list whether everybody is let in, as the mode of its own file system. Nothing sets a list afterwards here."""
    (place.state / "file").write_text("x")
    never = "function Set-Access { throw 'afterwards' }; function Test-Access { $true }; function Assert-StateFolder { }; "
    place.run(never + make.format(folder=host_path(place.folder / "made"), state=host_path(place.state)))
    (made,) = [path for path in (place.folder / "made", place.state / "before") if path.exists()]
    assert made.stat().st_mode & 0o007 == 0 and place.access(made).startswith("O:BAD:P")


@pytest.mark.parametrize(("flags", "same"), [("PAI", True), ("P", True), ("AI", False), ("", False)])
def test_a_list_that_inherits_from_the_folder_above_is_another_one(place: Place, flags: str, same: bool) -> None:
    place.set_access(place.target, f"O:BAD:{flags}(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")
    path = host_path(place.target)
    assert place.run(f"[string](Test-Access '{path}' $AdministratorsOnly)") == [str(same)]
    place.run(f"Add-Folder '{path}' $AdministratorsOnly")
    assert place.access(place.target).startswith("O:BAD:P")


def test_a_state_folder_that_somebody_filled_meanwhile_is_refused(place: Place) -> None:
    """Windows leaves a folder that exists as it is: only its owner and its list show who created it, and not who was in it."""
    first = "function New-ClosedFolder($Path) { [void](New-Item -ItemType Directory -Path $Path); [IO.File]::WriteAllText(\"$Path\\record.jsonl\", '') }; "
    said = place.refused(f"{first}$StateFolder = '{host_path(place.folder)}\\made'; Initialize-StateFolder")
    assert "another account created" in said and "put files in it while nbserver was creating it" in said


def test_a_list_is_set_again_without_owner_and_group(place: Place) -> None:
    """Windows lets nobody but administrators write an owner, and Set-Acl writes it with a list that was only read."""
    path, owner = host_path(place.target), "O:S-1-5-21-1-2-3-1001"
    place.set_access(path, PRIVATE.replace("O:BA", owner))
    for sddl in ("D:P(A;OICI;FA;;;BA)", "D:P(A;OICI;FA;;;SY)"):
        place.run(f"Set-Access '{path}' '{sddl}'")
        assert place.access(path) == owner + sddl
    changed = f"$acl = Use-AccessControl '{path}'; $acl.SetSecurityDescriptorSddlForm('D:P', 'Access'); "
    changed += "foreach ($part in 'Owner', 'Group', 'Access') { [string](Get-StandInPart $part).GetValue($acl) }"
    assert place.run(changed) == ["False", "False", "True"]


def test_powershell_7_reads_and_sets_lists_with_another_class(tmp_path: Path) -> None:
    """Without stand-ins. Wine keeps no lists, so what comes back is not compared."""
    require_engine()
    folder = host_path(tmp_path / "made")
    with Session() as engine:
        engine.keep(f"{SETTINGS}\n{prelude('run', 'paths', 'access')}")
        make = f"New-ClosedFolder '{folder}' $AdministratorsOnly; $acl = Use-AccessControl '{folder}'; Use-AccessControl '{folder}' -Change $acl; "
        assert engine.run(make + "$acl.GetType().Name; [string][bool]$acl.PSObject.Methods['GetAccessControl']") == [
            "DirectorySecurity",
            "False",
        ]
    assert (tmp_path / "made").stat().st_mode & 0o007 == 0


def test_a_refusal_has_a_code_and_its_cause_has_another(place: Place) -> None:
    (failure,) = place.run("try { Assert-StateFolder } catch { ConvertTo-Json (Get-FailureField $_.Exception) -Depth 4 -Compress }")
    fields = json.loads(failure)
    state, users = host_path(place.state), "S-1-5-32-545"
    assert fields["code"] == "state-folder-untrusted"
    assert fields["values"] == {"path": state, "cause": f"{users} has access to {state}"}
    assert fields["cause"] == {"code": "access-granted", "values": {"account": users, "path": state}}


def test_a_long_removal_reports_progress(place: Place) -> None:
    watch = "$watch = New-Object PSObject -Property @{ ElapsedMilliseconds = 5000 }; $watch | Add-Member ScriptMethod Restart { }; "
    report = "Write-RemovalProgress @{ Path = 'C:\\x'; Count = 7; Watch = $watch }; "
    said = place.run(
        f"[void](Get-Said); {watch}{report}$watch.ElapsedMilliseconds = 4999; {report}$watch.ElapsedMilliseconds = 5000; $Run.Step = ''; {report}Get-Said"
    )
    assert [(event["event"], event["code"], event["what"]) for event in map(json.loads, said)] == [
        ("progress", "removing-folder", r"Removing C:\x (7 files and folders removed)")
    ]


# -- tasks


def test_a_task_of_somebody_else_is_removed_and_made_anew(place: Place) -> None:
    """They registered it before: while it is only replaced, it stays theirs to change."""
    name, action = f"nbserver-close-{os.getpid()}", "<Actions><Exec><Command>{}.exe</Command></Exec></Actions>"
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
        refused = f"try {{ Set-Task '{name}' '<Task' }} catch {{ 'refused' }}; {command}"
        assert place.run(refused) == ["refused", "theirs.exe"], "Windows refuses the new one, so the previous one is back"
    finally:
        place.run(f"Unregister-ScheduledTask -TaskName '{name}' -Confirm:$false")


def test_a_task_that_closes_a_bracket_restores_the_value_that_was_there(place: Place) -> None:
    key = r"HKCU:\Software\nbserver-test-closing"
    make = f"[void](New-Item -Force -Path '{key}'); Set-ItemProperty -LiteralPath '{key}' -Name 'A & B' -Value 5 -Type "
    close = f"$Run.Step = 'guard'; function Set-Task($Name, $Xml) {{ $Name; ([xml]$Xml).Task.Actions.Exec[0].Arguments }}; Add-ClosingTask '{key}' 'A & B'"
    try:
        assert place.run(f"{make}DWord; {close}") == ["nbserver-close-guard", f'add "{key}" /v "A & B" /t REG_DWORD /d 5 /f']
        assert "is not a DWORD value, so nbserver could not restore it after a restart" in place.refused(f"{make}String; {close}")
    finally:
        place.run(f"Remove-Item -LiteralPath '{key}'")


def test_undo_restores_no_value_or_task_that_nbserver_does_not_change(place: Place) -> None:
    line = "Undo-Line ([pscustomobject]@{{ step = 'x'; kind = '{}'; key = '{}'; before = $null }})"
    for kind, key in (("registry", r"HKLM:\SOFTWARE\nbserver-test|x"), ("task", "backup"), ("task", "nbserver-closed")):
        assert f"contains a line that nbserver did not write ({kind} {key})" in place.refused(line.format(kind, key))


# -- what is read of the service's own


def test_the_log_of_the_server_is_read_from_its_end_and_through_no_link(place: Place) -> None:
    (place.state / "work").mkdir()
    log = place.state / "work" / "notebook.log"
    log.write_text("x" * 3_000_000 + "\none\ntwo\nthree")
    read = f"Read-LastLine '{host_path(log)}' 3"
    assert place.run(read) == ["one", "two", "three"]
    log.write_text("y" * 3_000_000)
    assert place.run(read) == ["y" * 16384]
    log.write_text("")
    assert place.run(read) == []
    log.unlink()
    (place.state / "work").rmdir()
    (place.state / "work").symlink_to(place.target)
    assert place.run(read.replace("notebook.log", "kept.txt")) == ["(not read, because its path contains a link)"]
