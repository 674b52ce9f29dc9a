"""The box's small parts that need no Windows."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.boxes import caches, registry_file
from tests.boxes.task_scheduler import TASKS, Action, Task, TaskScheduler, read_task
from tests.boxes.windows_command_line import split_arguments
from tests.boxes.wine import environment, linux_path, pwsh_command
from tests.boxes.winrm import cmd_shell
from tests.boxes.winrm.cmd_shell import CmdShell
from tests.waiting import wait_until


@given(st.lists(st.text(alphabet='ab \\"\t-', max_size=8)))
def test_a_command_line_is_cut_where_it_was_joined(arguments: list[str]) -> None:
    assert split_arguments(subprocess.list2cmdline(arguments)) == arguments


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_registry_values_come_back(text: str) -> None:
    key = r"HKEY_LOCAL_MACHINE\SOFTWARE\Test"
    written = registry_file.write(
        {key: {"expand": registry_file.expandable(text), "number": registry_file.dword(258), 'a"b\\c': registry_file.string("x")}}
    )
    assert registry_file.read(written) == {key: {"expand": f"REG_EXPAND_SZ:{text}", "number": "dword:00000102", 'a"b\\c': '"x"'}}


def test_long_registry_values_go_on_in_the_next_line() -> None:
    text = 'Windows Registry Editor Version 5.00\r\n\r\n[K]\r\n@="x"\r\n"v"=hex(2):41,00,\\\r\n  42,00,00,00\r\n\r\n[K\\L]\r\n'
    assert registry_file.read(text.encode("utf-16")) == {"K": {"": '"x"', "v": "REG_EXPAND_SZ:AB"}, "K\\L": {}}


def test_a_windows_path_finds_what_exists_in_any_case(tmp_path: Path) -> None:
    folder = tmp_path / "drive_c" / "Program Files"
    folder.mkdir(parents=True)
    (tmp_path / "dosdevices").mkdir()
    (tmp_path / "dosdevices" / "c:").symlink_to(tmp_path / "drive_c")
    assert linux_path(tmp_path, r"C:\PROGRAM FILES\new\File.txt") == folder / "new" / "File.txt"
    assert linux_path(tmp_path, "c:\\") == tmp_path / "drive_c"
    with pytest.raises(ValueError, match="relative"):
        linux_path(tmp_path, r"relative\path")


def test_a_host_sees_nothing_of_the_tests_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "secret")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    assert {"NOTEBOOK_PASSWORD", "https_proxy"}.isdisjoint(environment(tmp_path))
    assert environment(tmp_path, {"X": "1"})["X"] == "1"


def test_without_powershell_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBSERVER_TEST_PWSH", raising=False)
    with pytest.raises(LookupError, match="NBSERVER_TEST_PWSH"):
        pwsh_command()


def test_a_tasks_file(tmp_path: Path) -> None:
    file = tmp_path / "task"
    file.write_bytes(
        """<?xml version="1.0" encoding="UTF-16"?>
        <Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
        <Triggers><BootTrigger><Enabled>false</Enabled></BootTrigger></Triggers><Settings/>
        <Actions><Exec><Command>"%ProgramFiles%\\x\\p.exe"</Command><Arguments>-c %SystemDrive%\\a</Arguments>
        <WorkingDirectory>%ProgramData%\\w</WorkingDirectory></Exec><Exec><Command>b</Command></Exec></Actions></Task>
        """.encode("utf-16")
    )
    first = Action(r"C:\Program Files\x\p.exe", r"-c C:\a", r"C:\ProgramData\w")
    assert read_task(file) == Task((first, Action("b", "", "")), enabled=True, at_startup=False)


def test_what_a_task_prints_after_its_end_is_in_its_log_and_nowhere_else(tmp_path: Path) -> None:
    """What the program has started prints on; files that were opened since then have the numbers that were free."""
    (tmp_path / "dosdevices").mkdir()
    (tmp_path / "dosdevices" / "c:").symlink_to(tmp_path / "drive_c")
    go, tasks = tmp_path / "go", tmp_path / "drive_c" / TASKS.removeprefix("C:\\").replace("\\", "/")
    tasks.mkdir(parents=True)
    program = f"echo early; (until [ -e '{go}' ]; do sleep 0.05; done; echo late; echo later) &amp;"
    (tasks / "x").write_text(
        '<Task xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"><Actions><Exec>'
        f'<Command>powershell</Command><Arguments>-c "{program}"</Arguments></Exec></Actions></Task>'
    )
    with TaskScheduler(tmp_path, ["/bin/sh"]) as scheduler, contextlib.ExitStack() as opened:
        scheduler.start("x")
        assert scheduler.wait("x") and scheduler.exit_codes("x") == [0]
        others = [tmp_path / str(number) for number in range(10)]
        for other in others:
            opened.enter_context(other.open("wb"))
        go.touch()
        assert wait_until(lambda: scheduler.output("x") == "early\nlate\nlater\n", 30)
        assert [other.read_bytes() for other in others] == [b""] * 10


def test_what_a_machine_lacks_is_told_and_the_rest_is_made() -> None:
    done: list[str] = []
    things = [("one", lambda: caches.there("no wixl")), ("two", lambda: caches.there(None) or done.append("two"))]
    assert caches.fill(things) == ["one: not made: no wixl", "two: 0 s"] and done == ["two"]


def test_a_program_that_wine_ended_at_once_is_started_again_with_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmd_shell, "NEVER_BEGAN", 600.0)  # this machine may be slow
    program = tmp_path / "powershell"
    program.write_text(f"#!/bin/bash\nif [[ ! -e {tmp_path}/began ]]; then echo >{tmp_path}/began; exit 1; fi\ncat; exit 3\n")
    program.chmod(0o755)
    shell = CmdShell("shell", "", [str(program)], os.environ, tmp_path)
    command = shell.command(None, "powershell", ["-x"], {})
    shell.send(command, "stdin", b"first ", False)
    shell.send(command, "stdin", b"second", True)
    output = shell.find(command)
    assert wait_until(lambda: output.done)
    assert (b"".join(data for _, data in output.chunks), output.exit_code) == (b"first second", 3)


def test_a_program_that_says_why_it_ends_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmd_shell, "NEVER_BEGAN", 600.0)
    program = tmp_path / "powershell"
    program.write_text(f"#!/bin/bash\necho >>{tmp_path}/began; echo no; exit 1\n")
    program.chmod(0o755)
    shell = CmdShell("shell", "", [str(program)], os.environ, tmp_path)
    output = shell.find(shell.command(None, "powershell", ["-x"], {}))
    assert wait_until(lambda: output.done)
    assert output.exit_code == 1 and (tmp_path / "began").read_text() == "\n"
