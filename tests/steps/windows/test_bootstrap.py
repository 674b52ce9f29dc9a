"""The bootstrap: its published hash, its rules, and what it does with input that is not what was announced."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.transports.winrm.bootstrap import PROGRAM, arguments, bootstrap, standard_input
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, pwsh_command
from tests.checkout import CHECKOUT
from tests.powershell import rules_commands, rules_effects, rules_language, rules_secrets
from tests.powershell.engine import STEP_FILES, require_engine
from tests.powershell.findings import Scripts
from tests.powershell.syntax import parse
from tests.steps.windows.test_script_rules import LAUNCHER, SSH_BOOTSTRAP, _profiles

FILE = STEP_FILES / "bootstrap.ps1"
PUBLISHED = CHECKOUT / "docs" / "bootstrap.md"
CMD_LIMIT = 8000  # characters on one line: cmd.exe takes 8191, and the path of Windows may be longer than usual
CMD = r"C:\Windows\system32\cmd.exe /C "
TRY = "try {{ [IO.File]::{0}; '{0}' }} catch {{ 'refused' }}; "  # to change the file that runs
# A program holds the folder of the script for longer than the script runs, as a virus scanner does.
HELD = (
    "$start = New-Object Diagnostics.ProcessStartInfo 'cmd.exe', '/c ping -n 3 127.0.0.1 >nul'; "
    "$start.UseShellExecute = $false; $start.WorkingDirectory = $PSScriptRoot; [void][Diagnostics.Process]::Start($start); "
)
# Whether everybody is let in to the folder of the script, and to the one above it. Wine shows the mode of its file system as such a list.
OPEN = (
    "foreach ($one in $PSScriptRoot, (Split-Path $PSScriptRoot)) { $list = [IO.FileSystemAclExtensions]::GetAccessControl([IO.DirectoryInfo]$one); "
    "if ($list.GetSecurityDescriptorSddlForm('Access') -clike '*;;;WD)*') { 'open' } else { 'closed' } }; "
)
SCRIPT = (
    HELD
    + "'ran'; [string]$input; "
    + TRY.format("Delete($PSCommandPath)")
    + TRY.format("OpenWrite($PSCommandPath).Close()")
    + OPEN
    + "exit 2\n"
)
RAN = "ran\r\nmode test\r\nrefused\r\nrefused\r\nclosed\r\nopen\r\n"


def test_the_published_hash_is_that_of_the_file() -> None:
    hashes = re.findall(r"\b[0-9a-f]{64}\b", PUBLISHED.read_text("utf-8"))
    assert hashes == [hashlib.sha256(file.read_bytes()).hexdigest() for file in (FILE, SSH_BOOTSTRAP)]


def test_what_is_sent_is_the_file() -> None:
    encoded = arguments()[-1]
    assert base64.b64decode(encoded).decode("utf-16-le").encode("ascii") == FILE.read_bytes()
    assert arguments()[-2] == "-EncodedCommand"


def test_it_fits_a_command_line_and_a_page() -> None:
    assert len(CMD + " ".join([PROGRAM, *arguments()])) <= CMD_LIMIT
    assert bootstrap().count("\n") <= 63


@given(
    st.text(st.characters(codec="ascii"), max_size=200),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")), max_size=4),
)
def test_its_input_says_length_and_hash_of_what_follows(script: str, envelope: list[str]) -> None:
    head, _, rest = standard_input(script, envelope).partition(b"\n")
    word, length, sha256 = head.decode("ascii").split(" ")
    code, lines = rest[: int(length)], rest[int(length) :]
    assert (word, code.decode("ascii"), sha256) == ("script", script, hashlib.sha256(code).hexdigest())
    assert lines.decode("utf-8") == "".join(f"{line}\n" for line in envelope)


def test_it_keeps_the_rules_of_the_scripts() -> None:
    """So does the launcher, which does the same for other tools."""
    require_engine()
    parsed, aliases = parse([(file.name, file.read_bytes().decode("ascii")) for file in (FILE, LAUNCHER)])
    scripts = Scripts(parsed, aliases, _profiles())
    rules = {
        *rules_language.RULES,
        *rules_commands.RULES,
        *rules_effects.RULES,
        rules_secrets.what_arrives_reaches_the_script_only,
    } - {
        rules_effects.the_call_operator_runs_steps_and_restores_only,
        rules_effects.files_are_moved_and_removed_as_soon_as_nobody_holds_them,
    }
    assert [found for rule in rules for found in rule(scripts)] == []
    called = list(rules_effects.the_call_operator_runs_steps_and_restores_only(scripts))
    assert len(called) == 2 and called[0].endswith("& $path"), "it runs the script and nothing else"
    assert called[1].endswith('& "$dir\\nbserver.ps1"')


# -- fed by hand

ENVELOPE = ["mode test"]
GOOD = standard_input(SCRIPT, ENVELOPE)
INPUTS: Mapping[str, tuple[bytes, str]] = {
    "one byte is different": (GOOD.replace(b"'ran'", b"'RAN'"), "the script has SHA-256 [0-9A-F]{64}, expected [0-9a-f]{64}"),
    "it ends too early": (GOOD[: GOOD.index(b"exit")], rf"the input ended after [0-9]+ of {len(SCRIPT)} bytes of the script"),
    "one byte fewer is announced": (
        GOOD.replace(f"script {len(SCRIPT)} ".encode(), f"script {len(SCRIPT) - 1} ".encode()),
        "the script has SHA-256 [0-9A-F]{64}, expected [0-9a-f]{64}",
    ),
    "there is no script": (b"mode apply\n", "the input does not begin with a script"),
    "there is no input": (b"", "the input does not begin with a script"),
}


def folders(host: WindowsBox) -> set[Path]:
    """The folders of bootstraps, also of those that another test has killed."""
    return set(host.path("C:\\").rglob("nbserver-*-*-*-*-*"))


@pytest.fixture(scope="module")
def before(windows_host: WindowsBox) -> set[Path]:
    return folders(windows_host)


@pytest.fixture(scope="module")
def answers(before: set[Path], windows_host: WindowsBox) -> dict[str, tuple[int, str, str]]:
    """Name of an input -> exit code, output and complaint of the bootstrap; all of them at once."""
    command = [pwsh_command(), *arguments()]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = {name: subprocess.Popen(command, env=environment(windows_host.prefix), **pipes) for name in [*INPUTS, "good"]}
    for name, process in started.items():  # before any of them is waited for: Wine's services hold the pipes of the first
        process.stdin.write(INPUTS[name][0] if name in INPUTS else GOOD)
        process.stdin.close()
        process.stdin = None
    found = {}
    for name, process in started.items():
        out, err = process.communicate(timeout=600)
        found[name] = (process.returncode, out.decode("ascii"), err.decode("ascii"))
    return found


@pytest.mark.parametrize("name", INPUTS)
def test_other_input_is_refused(answers: dict[str, tuple[int, str, str]], name: str) -> None:
    code, out, err = answers[name]
    assert code == 1 and out == "", "nothing ran"
    assert re.fullmatch(INPUTS[name][1], err.strip())


def test_the_right_input_runs(answers: dict[str, tuple[int, str, str]]) -> None:
    assert answers["good"] == (2, RAN, ""), "and nobody can change it meanwhile"


def test_nothing_of_it_is_left(answers: dict[str, tuple[int, str, str]], before: set[Path], windows_host: WindowsBox) -> None:
    assert answers
    assert folders(windows_host) - before == set()
