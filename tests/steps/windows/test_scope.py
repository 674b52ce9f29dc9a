"""What is different in the Windows script of scope "user", on the real engine: places, access, the server in the background."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.render.powershell import header
from nbserver.render.step_files import read_body
from tests.boxes import artifacts
from tests.boxes.windows_python import PYTHON_3_11
from tests.powershell.engine import EngineError, Session, encode, host_path, part, prelude, require_engine, steps

FILES = ("run", "events", "envelope", "paths", "record", "files", "removal", "data_folders")
PING = r"C:\windows\system32\ping.exe"
ARGUMENTS = "@('-n', '600', '127.0.0.1')"


def text(value: str) -> str:
    """A text as a PowerShell expression, whatever is in it."""
    return f"(ConvertFrom-TestText '{encode(value)}')"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        files = prelude(*FILES, "programs", "processes", "package_environment", "password_hash", scope="user")
        opened.keep(f"{files}\n{steps('python', 'packages', scope='user')}")
        yield opened


# -- places, and who may read them

PLACES = "'Programs', 'StateFolder', 'ServiceFolder', 'WorkFolder', 'CacheFolder', 'RecordFile', 'LockFile', 'ServerLog', 'ProcessFile'"


def places(session: Session, scope: str) -> dict[str, str]:
    names = PLACES if scope == "user" else PLACES.replace(", 'ProcessFile'", "")
    body = f'{prelude(*FILES, scope=scope)}\nforeach ($name in {names}) {{ "$name=$((Get-Variable $name).Value)" }}'
    return dict(line.split("=", 1) for line in session.run(body))


def test_all_places_are_below_the_users_local_folder(session: Session) -> None:
    (local,) = session.run("$env:LOCALAPPDATA")
    found = places(session, "user")
    state = rf"{local}\nbserver\state"
    assert found == {
        "Programs": rf"{local}\nbserver\programs",
        "StateFolder": state,
        "ServiceFolder": rf"{state}\service",
        "WorkFolder": rf"{state}\work",
        "CacheFolder": rf"{state}\cache",
        "RecordFile": rf"{state}\record.jsonl",
        "LockFile": rf"{state}\lock",
        "ServerLog": rf"{state}\server.log",
        "ProcessFile": rf"{state}\process",
    }


def test_the_folder_for_notebooks_and_those_above_it_go_at_undo(session: Session, tmp_path: Path) -> None:
    """Also if the settings name another folder by now."""
    there, record = host_path(tmp_path), host_path(tmp_path / "record.jsonl")
    script = (
        f"$RecordFile = '{record}'; $TopFolders = @(); $Run.Step = 'notebook'; $Settings = ConvertFrom-Json '{{\"notebook\": {{\"directory\": \"D:/x\"}}}}'; "
        f"Add-DataFolder '{there}\\far\\new\\notebooks'; @(Read-Record) | ForEach-Object {{ $_.key }}; "
        "$lines = @(Read-Record); [Array]::Reverse($lines); foreach ($line in $lines) { Undo-Line $line | Out-Null }; [void](Get-Said)"
    )
    assert session.run(script) == [rf"{there}\far", rf"{there}\far\new", rf"{there}\far\new\notebooks"]
    assert not (tmp_path / "far").exists()


def test_a_profile_on_another_volume_is_no_link_in_the_way(session: Session) -> None:
    """An administrator has moved C:\\Users. What is in the profile is checked."""
    (tops,) = session.run("$TopFolders -join '|'; ")
    assert tops == session.run('"$env:LOCALAPPDATA|$env:USERPROFILE"')[0]
    links = "function Test-Link { $true }; @(Get-Link (Join-Path $env:USERPROFILE 'notebooks\\a')) -join '|'"
    assert session.run(links) == session.run('"$env:USERPROFILE\\notebooks\\a|$env:USERPROFILE\\notebooks"')


def test_machine_scope_has_the_machines(session: Session) -> None:
    found = places(session, "machine")
    assert found["Programs"] == r"C:\Program Files\nbserver"
    assert {name: path for name, path in found.items() if not path.startswith(r"C:\ProgramData\nbserver")} == {
        "Programs": found["Programs"]
    }
    assert found["ServerLog"] == r"C:\ProgramData\nbserver\work\notebook.log"


def test_a_script_has_the_steps_of_its_scope() -> None:
    machine, user = (read_body("ps_scripts", scope).steps for scope in ("machine", "user"))
    assert user == ("preflight", "python", "packages", "certificate", "notebook", "service", "check", "cleanup")
    assert [step for step in machine if step in user] == list(user)


def test_a_body_has_no_other_modes_than_its_own(session: Session) -> None:
    """A certificate request is in the body of the machine only."""
    main = part("main").partition("# ---- modes: the prelude may have more")[2].partition("function Invoke-Run")[0]
    with pytest.raises(EngineError, match='this script has no mode "request"'):
        session.run(f"{main}\n$Run.Mode = 'request'; Invoke-Mode")


def test_only_the_user_system_and_administrators_have_access(session: Session) -> None:
    script = f"{prelude(*FILES, scope='user')}\n$UserSid; $ServiceReads; $ServiceWrites; $StateAccess; $StateOwner; $Trusted -join ' '"
    me, *lists, owner, trusted = session.run(script)
    assert re.fullmatch(r"S-1-5-21-[0-9-]+", me)
    assert lists == [f"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{me})"] * 3
    assert (owner, trusted) == (me, f"S-1-5-18 S-1-5-32-544 {me}")


@pytest.mark.parametrize("folder", ["", "nbserver", r"\\server\profiles\anna", r"C:\there is no such folder"])
def test_a_local_folder_that_is_none_is_refused(session: Session, folder: str) -> None:
    body = f"{prelude(*FILES, scope='user')}\nInvoke-Hook BeforeRun"
    with pytest.raises(EngineError, match=r'LOCALAPPDATA is ".*", but it must be an existing folder with a drive letter'):
        session.run(
            f"$old = $env:LOCALAPPDATA; try {{ $env:LOCALAPPDATA = {text(folder)}\n{body} }} finally {{ $env:LOCALAPPDATA = $old }}"
        )
    assert session.run(body) == []
    with pytest.raises(EngineError, match="with the SYSTEM account"):
        session.run(body.replace("\nInvoke-Hook", "\n$UserSid = 'S-1-5-18'; Invoke-Hook"))


# -- the server in the background: a program that runs, and is told from others


@pytest.fixture
def background(session: Session, tmp_path: Path) -> Iterator[str]:
    """What comes before a script: its places are below `tmp_path`, and $Program is a program in $Programs."""
    (tmp_path / "programs").mkdir()
    folder = host_path(tmp_path)
    before = (
        f"$StateFolder = '{folder}'; $Programs = '{folder}\\programs'; $RecordFile = '{folder}\\record.jsonl'; $ProcessFile = '{folder}\\process'; $ServerLog = '{folder}\\server.log'; "
        f"$Run.Step = 'service'; $Program = '{folder}\\programs\\ping.exe'; if (-not (Test-Path $Program)) {{ Copy-Item '{PING}' $Program }}; "
    )
    yield before
    session.run(before + "Stop-Background | Out-Null")


def start(text: str = "for this`n") -> str:
    return f'Start-Background $Program {ARGUMENTS} $StateFolder "{text}" | Out-Null; '


def test_a_program_in_the_background_is_known_again(session: Session, background: str, tmp_path: Path) -> None:
    assert session.run(background + "@(Get-Background).Count.ToString(); [string](Test-Background 'x')") == ["0", "False"]
    (pid,) = session.run(background + start() + "[string](Get-Background).Id")
    first, *rest = (tmp_path / "process").read_text().split("\n")
    assert re.fullmatch(rf"{pid} 1[0-9]{{17}}", first) and rest == ["for this", ""]
    assert session.run(
        background + '(Get-Background).Path; [string](Test-Background "for this`n"); [string](Test-Background "for that`n")'
    ) == [
        host_path(tmp_path / "programs" / "ping.exe"),
        "True",
        "False",
    ]
    assert session.run(background + "@(Get-ProcessBelow $Programs).Count.ToString()") == ["1"]
    (other,) = session.run(background + start("for that`n") + "[string](Get-Background).Id")
    assert session.run(
        background
        + f"@(Get-ProcessBelow $Programs | ForEach-Object {{ [string]$_.Id }}) -join ' '; @(Get-Process -Id {pid} -ErrorAction SilentlyContinue).Count.ToString()"
    ) == [other, "0"]


@pytest.mark.parametrize(
    "line",
    ["{pid} 130000000000000000", "{pid}", "{created} {pid}", "x {created}", "", "{pid} {created} ", "4294967296 {created}", "0 {created}"],
)
def test_another_process_is_never_taken_for_it(session: Session, background: str, tmp_path: Path, line: str) -> None:
    session.run(background + start())
    file = tmp_path / "process"
    pid, created = file.read_text().splitlines()[0].split(" ")
    file.write_text(line.format(pid=pid, created=created) + "\nfor this\n")
    assert session.run(background + "@(Get-Background).Count.ToString()") == ["0"]
    file.write_text(f"{pid} {created}\r\nfor this\r\n")
    assert session.run(background + "@(Get-Background).Count.ToString()") == ["1"]


def test_undo_ends_it_and_all_that_runs_from_its_folder(session: Session, background: str, tmp_path: Path) -> None:
    session.run(background + start())
    (tmp_path / "process").rename(tmp_path / "elsewhere")  # as a run leaves it that was cut off before the file
    session.run(background + "Invoke-Hook BeforeUndo | Out-Null")
    assert session.run(background + "@(Get-ProcessBelow $Programs).Count.ToString()") == ["0"]
    session.run(background + start() + "foreach ($line in @(Read-Record)) { Undo-Line $line | Out-Null }")
    assert session.run(background + "@(Get-ProcessBelow $Programs).Count.ToString(); @(Read-Record).Count.ToString()") == ["0", "0"]
    assert not (tmp_path / "process").exists()
    session.run(background + start() + "Write-Record @(); Invoke-Hook BeforeUndo | Out-Null")  # what the record does not know, it leaves
    assert session.run(background + "@(Get-Background).Count.ToString()") == ["1"]


def test_a_file_that_a_program_has_open_is_told(session: Session, tmp_path: Path) -> None:
    file = f"$file = '{host_path(tmp_path)}\\server.log'; "
    assert session.run(file + "[string](Test-Open $file)") == ["False"]
    held = "$open = [IO.File]::Open($file, 'OpenOrCreate', 'Write', 'ReadWrite'); try { [string](Test-Open $file) } finally { $open.Close() }; "
    assert session.run(file + held + "[string](Test-Open $file)") == ["True", "False"]


# -- the Python that is there

PRESENT: dict[str, Any] = {"kind": "present", "version": "3.11", "executable": ["python.exe"]}


def present(folder: Path, version: str = "3.11") -> str:
    python = f'{{"kind": "present", "version": "{version}", "executable": ["python.exe"], "folder": ""}}'
    packages = '{"lock_sha256": "0123456789abcdef"}'
    return (
        f'$Settings = ConvertFrom-Json \'{{"python": {python}, "packages": {packages}}}\'; '
        f"$Settings.python.folder = {text(host_path(folder))}; $Programs = $Settings.python.folder; "
    )


@pytest.fixture(scope="module")
def python_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """python.exe of a real CPython 3.11 for Windows, and an empty folder where its pip would be."""
    folder = tmp_path_factory.mktemp("python \u03b1")
    with zipfile.ZipFile(PYTHON_3_11.whole(artifacts.cache_folder())) as archive:
        archive.extract("python.exe", folder)
    (folder / "Lib" / "site-packages" / "pip").mkdir(parents=True)
    return folder


def test_the_python_is_of_the_branch_that_was_rendered(session: Session, python_folder: Path, tmp_path: Path) -> None:
    assert session.run(present(python_folder) + "Assert-PresentPython; Get-Python") == [host_path(python_folder / "python.exe")]
    for folder, version, words in (
        (python_folder, "3.12", r"python.exe has version 3\.11, expected 3\.12"),
        (python_folder, "3.1", r"has version 3\.11, expected 3\.1\."),
        (tmp_path, "3.11", "no longer exists"),
    ):
        with pytest.raises(EngineError, match=words):
            session.run(present(folder, version) + "Assert-PresentPython")
    (tmp_path / "python.exe").write_bytes((python_folder / "python.exe").read_bytes())
    with pytest.raises(EngineError, match=r'does not have pip\. In PowerShell, run & ".*python\.exe" -m ensurepip'):
        session.run(present(tmp_path) + "Assert-PresentPython")
    (tmp_path / "python.exe").write_bytes(b"MZ")
    with pytest.raises(EngineError, match=r"has version 0\.0, expected 3\.11"):
        session.run(present(tmp_path) + "Assert-PresentPython")


def test_a_python_of_the_store_is_refused(session: Session, python_folder: Path) -> None:
    store = "$old = $env:ProgramFiles; try { $env:ProgramFiles = Split-Path -Parent $Settings.python.folder; "
    with pytest.raises(EngineError, match="is from the Microsoft Store"):
        session.run(
            present(python_folder)
            + store
            + '$Settings.python.folder = "$env:ProgramFiles\\WindowsApps\\Python"; Assert-PresentPython } finally { $env:ProgramFiles = $old }'
        )


def test_an_environment_whose_python_is_gone_is_made_anew(session: Session, python_folder: Path, tmp_path: Path) -> None:
    given = present(python_folder) + f"$Programs = '{host_path(tmp_path)}'; "
    assert session.run(given + "Get-EnvironmentFolder; [string](Test-LockMark)") == [host_path(tmp_path / "env-3.11-01234567"), "False"]
    mark = tmp_path / "env-3.11-01234567" / "nbserver.lock"
    mark.parent.mkdir()
    session.run(given + "Write-TextFile (Get-LockMark) (Get-LockMarkText)")
    assert mark.read_text("utf-8") == f"0123456789abcdef\n{host_path(python_folder / 'python.exe')}\n"
    assert session.run(given + "[string](Test-LockMark)") == ["True"]
    assert session.run(given + "$Settings.python.folder = 'C:\\another'; [string](Test-LockMark)") == ["True"], "its own is still there"
    mark.write_text("0123456789abcdef\nC:\\gone\\python.exe\n")
    assert session.run(given + "[string](Test-LockMark)") == ["False"]
    mark.write_text("0123456789abcdef\n")  # as machine scope writes it
    assert session.run(given + "[string](Test-LockMark)") == ["True"]


# -- the password that was set before


def test_a_password_stays_that_an_earlier_run_set(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "jupyter_server_config.json"
    file.write_text('{\n  "hashed_password":  "argon2:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA+/",\n}\n')
    pattern = r'"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
    assert pattern in part("steps/notebook")
    record = f"$RecordFile = '{host_path(tmp_path)}\\record.jsonl'; $Run.Step = 'notebook'; "

    def kept(given: str = "") -> str:
        (found,) = session.run(
            f"{record}$Secrets = @{{}}; {given}Read-KeptSecret 'n' '{host_path(file)}' '{pattern}'; [string]$Secrets['n']"
        )
        return found

    assert kept() == "", "the record does not know the file"
    session.run(f"{record}Save-Before 'file' '{host_path(file)}' $null")
    assert kept() == "argon2:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA+/"
    assert kept("$Secrets['n'] = 'given'; ") == "given"
    file.write_text('{ "hashed_password": "no hash\\"" }')
    assert kept() == ""
    file.unlink()
    assert kept() == ""


# -- what a person reads first


@pytest.mark.parametrize(
    ("scope", "needs"), [("user", "64-bit; administrator rights are not needed"), ("machine", "64-bit, and administrator rights")]
)
def test_the_header_says_which_rights_are_needed(scope: str, needs: str) -> None:
    lines = header({"host": "local", "scope": scope}).splitlines()
    assert f"# Requires Windows PowerShell 3.0 or newer, {needs}" in lines


def test_notebooks_find_the_programs_of_the_user(session: Session) -> None:
    """The workstation passes only the folders of Windows on."""
    key = r"HKCU:\Environment"
    script = f"""
    {steps("service", scope="user")}
    function Save-FileBefore {{ }}; function Get-ServerArgument {{ }}; function Start-Background {{ "$env:Path" }}
    $before = $env:Path
    [void](New-Item -Path '{key}' -ErrorAction SilentlyContinue)
    Set-ItemProperty -LiteralPath '{key}' -Name Path -Value '%SystemRoot%\\..\\Git\\cmd' -Type ExpandString
    try {{ $env:Path = 'C:\\nowhere'; Start-BackgroundServer 'python.exe' 'text'; [Environment]::GetEnvironmentVariable('Path', 'Machine') }}
    finally {{ $env:Path = $before; Remove-ItemProperty -LiteralPath '{key}' -Name Path }}
    """
    path, machine = session.run(script)
    assert machine and path.lower() == rf"{machine};C:\windows\..\Git\cmd".lower()
