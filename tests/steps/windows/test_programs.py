"""What administrators run comes from where only they write: programs, their configuration, modules."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from tests.powershell.engine import host_path, prelude
from tests.steps.windows.place import (
    PRIVATE,
    Place,
    notebooks,
    place,
    session,
)

__all__ = ["notebooks", "place", "session"]


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


def test_uv_is_said_to_compile_after_it_has_installed(place: Place) -> None:
    """uv reports nothing while it compiles, for a minute or more."""
    copy = f"[IO.File]::Copy(\"$env:SystemRoot\\System32\\cmd.exe\", '{host_path(place.folder)}\\uv.exe'); "
    begin = "$Run.Events = 0; $Run.EventFile = ''; $Run.Stopped = $false; $Run.Step = 'packages'; "
    program = f"Invoke-Program '{host_path(place.folder)}\\uv.exe' @('/c', 'echo', 'Installed', '3', 'packages'); Get-Said"
    said = [json.loads(line) for line in place.run(copy + begin + program)]
    assert [(one["event"], one.get("code")) for one in said] == [("log", None), ("progress", "compiling-modules")]


def test_what_a_program_has_started_does_not_keep_the_run(place: Place) -> None:
    """It may inherit the output, and run for hours: a ping that takes a minute stands for it."""
    ping = f"rest-{os.getpid()}"
    copy = f"Copy-Item \"$env:SystemRoot\\System32\\ping.exe\" '{host_path(place.folder)}\\{ping}.exe'; "
    start = f"echo first& start /b {host_path(place.folder)}\\{ping}.exe -n 60 127.0.0.1"
    program = f"Invoke-Program \"$env:SystemRoot\\System32\\cmd.exe\" @('/c', '{start}') -Quiet; "
    after = f"Stop-Process -Name {ping}; [string]($time.Elapsed.TotalSeconds -lt 30); $Run.Output[0]"
    said = place.run(f"{copy}$RestSeconds = 0.5; $time = [Diagnostics.Stopwatch]::StartNew(); {program}{after}")
    assert said == ["True", "first"]


ENTER = "$LockFile = \"$StateFolder\\lock\"; $Run.Id = 'run-1'; Enter-Lock; "


def test_programs_of_a_run_have_temporary_files_where_nobody_else_may_write(place: Place) -> None:
    """Those of SYSTEM would be in C:\\Windows\\Temp, where every user may create files in what a program creates."""
    ask = "Invoke-Program \"$env:SystemRoot\\System32\\cmd.exe\" @('/c', 'set') -Quiet; $Run.Output -match '^(TEMP|TMP)='"
    planned = place.run(ask)
    assert len(planned) == 2 and not (place.state / "temp").exists(), "a plan leaves nothing behind"
    folder = host_path(place.state / "temp")
    found = place.run(f"{ENTER}try {{ {ask}; Get-AccessSddl '{folder}' }} finally {{ Exit-Lock }}")
    assert sorted(found[:2]) == [f"TEMP={folder}", f"TMP={folder}"]
    assert found[2].partition("(")[2] == PRIVATE.partition("(")[2]
    (place.state / "temp" / "left").mkdir()
    place.run("$Hooks.Finished | Where-Object { \"$_\" -like '*TemporaryFolder*' } | ForEach-Object { & $_ }")
    assert not (place.state / "temp").exists()


PROCESS = """
$one = New-Object PSObject -Property @{ Id = 4242; Path = 'C:\\none\\python.exe' }
$one | Add-Member ScriptMethod Kill { throw 'Access is denied' }
$one | Add-Member ScriptMethod WaitForExit { param($Time) $<ended> }
function Get-ProcessBelow { $one }
"""


@pytest.mark.parametrize(("ended", "said"), [("false", ("warning", "process-not-killed")), ("true", ("log", "process-gone"))])
def test_a_process_that_cannot_be_stopped_is_not_said_to_have_exited(place: Place, ended: str, said: tuple[str, str]) -> None:
    (event,) = map(json.loads, place.run(PROCESS.replace("<ended>", ended) + "Stop-ProcessBelow 'C:\\none'; Get-Said"))
    assert (event["event"], event["code"], event["values"]["id"]) == (*said, 4242) and "Access is denied" in event["text"]


def test_a_rotation_fails_if_a_kernel_is_left(place: Place) -> None:
    said = place.refused(PROCESS.replace("<ended>", "false") + "Assert-NoProcessLeft")
    assert "C:\\none\\python.exe (process 4242) is still running, so earlier users may still have access" in said
