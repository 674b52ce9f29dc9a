"""The lists of program calls and deletions: they have every line that the script rules' own reader of bash finds."""

from __future__ import annotations

import pytest

from nbserver.render.step_files import SCOPES, read_body
from nbserver.review.script_scan import Found, deletions, program_calls
from tests.linux.rules import BUILTINS, CHANGING, WRAPPED
from tests.linux.script_lines import commands, functions, lines

REMOVING = {"rm", "rmdir", "userdel", "groupdel"}


def numbers(found: tuple[Found, ...]) -> set[int]:
    return {line.line for line in found}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_program_that_the_rules_find_in_a_linux_body_is_listed(scope: str) -> None:
    files = {"body": read_body("linux_scripts", scope).text}
    known = BUILTINS | set(functions(files))
    wanted = {
        line.number for line in lines(files) if set(commands(line)) - known or "run_program " in line.code.replace("run_program() {", "")
    }
    assert len(wanted) > 60
    assert wanted <= numbers(program_calls(files["body"], "sh"))


@pytest.mark.parametrize("scope", SCOPES)
def test_every_word_that_removes_something_in_a_linux_body_is_listed(scope: str) -> None:
    files = {"body": read_body("linux_scripts", scope).text}
    wanted = {line.number for line in lines(files) if REMOVING & (set(commands(line)) | set(line.code.split()))}
    assert len(wanted) > 10
    assert wanted <= numbers(deletions(files["body"], "sh"))


def test_programs_that_change_a_host_are_listed_with_their_lines() -> None:
    called = {name for scope in SCOPES for found in program_calls(read_body("linux_scripts", scope).text, "sh") for name in found.names}
    assert CHANGING - called == set()
    assert {"apt-get", "zypper", "openssl", "run_program"} <= called and WRAPPED & called


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "rm -f x"),
        ("sh", 'if true; then rm -rf -- "$x"; fi'),
        ("sh", "x=$(rm y)"),
        ("sh", "f() { unlink x; }"),
        ("sh", "find / -delete"),
        ("sh", 'run_program firewall-cmd --remove-"$words"'),
        ("ps1", "Remove-Item $x"),
        ("ps1", "    [IO.File]::Delete($x)"),
        ("ps1", "$key.DeleteValue('x')"),
        ("ps1", "if ($x) { Unregister-ScheduledTask -TaskName x }"),
        ("ps1", "$x = 1   # a\nremove-item y"),
        ("ps1", '      <Arguments>/delete /tn "$task" /f</Arguments>'),
        ("sh", "X='import os\nos.unlink(name, dir_fd=folder)\n'"),
        ("ps1", "$x = 'import shutil\nshutil.rmtree(y)\n'"),
    ],
)
def test_a_deletion_is_found(language: str, code: str) -> None:
    assert deletions(code, language)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "curl -s x"),
        ("sh", '"$PYTHON" -c x'),
        ("sh", 'done < <("${SYSTEMCTL[@]}" show)'),
        ("sh", "true | tee x"),
        ("sh", "X=1 cp a b"),
        ("sh", "! reboot"),
        ("sh", "/usr/bin/id"),
        ("sh", 'y="$(whoami)"'),
        ("sh", '    if [[ $1 == a ]] && [[ $(whoami) == "$2 $3" ]]; then return; fi'),
        ("sh", "y=${x:-$(whoami)}"),
        ("ps1", "Start-Process notepad"),
        ("ps1", "$p = [Diagnostics.Process]::Start($x)"),
        ("ps1", "& $program"),
        ("ps1", "& 'C:\\x.cmd'"),
        ("ps1", "function Invoke-Y { Invoke-Program $x }\nfunction Z {\n    Invoke-Y\n}"),
        ("ps1", "$x.Kill()"),
        ("ps1", "if ($x) { Set-Service -Name $Name -Status Running }"),
        ("sh", "X='import os\nos.execv(a, b)\n'"),
    ],
)
def test_a_program_call_is_found(language: str, code: str) -> None:
    assert program_calls(code, language)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "# rm x"),
        ("sh", "# os.unlink(x)"),
        ("sh", "printf '%s' 'rm x; curl y'"),
        ("sh", "local rm=1"),
        ("ps1", "# Remove-Item x"),
        ("ps1", "function Remove-X {"),
    ],
)
def test_comments_and_text_are_not_listed(language: str, code: str) -> None:
    assert not deletions(code, language) and not program_calls(code, language)


def test_a_continued_command_is_listed_whole_with_its_first_line() -> None:
    assert deletions("true\nrm -f \\\n    x\n", "sh") == (Found(2, "rm -f x", ("rm",)),)
