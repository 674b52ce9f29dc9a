"""The bootstrap for SSH: its rules, and what it does with input that is not complete."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from nbserver.transports.payload import NOTHING
from nbserver.transports.ssh_windows.bootstrap import bootstrap, stop_request, whole_input
from nbserver.transports.ssh_windows.shell import command
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, pwsh_command
from tests.checkout import CHECKOUT
from tests.powershell import rules_commands, rules_effects, rules_language, rules_secrets
from tests.powershell.engine import require_engine
from tests.powershell.findings import Scripts, member_name
from tests.powershell.syntax import parse
from tests.steps.windows.test_bootstrap import CMD_LIMIT, RAN, SCRIPT, folders
from tests.steps.windows.test_script_rules import SSH_BOOTSTRAP, _profiles

CMD = r'"C:\Windows\system32\cmd.exe" /c "{}"'  # as sshd of Windows starts it
NUMBER = "0123456789abcdef" * 2
READY = "nbserver ready in PowerShell FullLanguage\r\n"
GOOD = b"".join(whole_input(SCRIPT, NUMBER, ["mode test"], NOTHING))
OTHER = base64.b64encode(SCRIPT.replace("'ran'", "'RAN'").encode())
INPUTS: Mapping[str, tuple[bytes, str]] = {
    "one byte is different": (
        GOOD.replace(base64.b64encode(SCRIPT.encode()), OTHER),
        "the script has SHA-256 [0-9A-F]{64}, expected [0-9a-f]{64}",
    ),
    "the end is missing": (GOOD.removesuffix(b"start\n"), "the input ended before it was complete"),
    "there is no script": (b"mode apply\n", "the input does not begin with a script"),
    "there is no input": (b"", "the input does not begin with a script"),
}


def test_what_is_sent_is_the_file_and_fits_a_command_line() -> None:
    line = command("cmd", bootstrap())
    assert base64.b64decode(line.split()[-1]).decode("utf-16-le").encode("ascii") == SSH_BOOTSTRAP.read_bytes()
    assert len(CMD.format(line)) <= CMD_LIMIT
    assert bootstrap().count("\n") <= 63
    assert max(len(line) for line in bootstrap().split("\n")) <= 120


def test_the_published_commands_are_those_that_run() -> None:
    page = (CHECKOUT / "docs" / "bootstrap.md").read_text("utf-8")
    assert stop_request("...") in page
    for shell in ("cmd", "powershell"):
        line = command(shell, bootstrap())  # type: ignore[arg-type]
        assert line.replace(base64.b64encode(bootstrap().encode("utf-16-le")).decode(), "...") in page


# What Windows can log (module logging): the parameters of commands, and what is piped into them.
LOGGED = (
    "$lines = @($parts | Select-Object -Skip 1 | ForEach-Object { $Utf8.GetString($_) })",
    "$lines | ForEach-Object { $_ }",
    "Write-Output $lines[0]",
    'foreach ($line in $lines) { $line | & $path }; Write-Verbose "got $line"',
)


def test_it_keeps_the_rules_of_the_scripts() -> None:
    require_engine()
    file = (SSH_BOOTSTRAP.name, SSH_BOOTSTRAP.read_bytes().decode("ascii"))
    parsed, aliases = parse([file, *(("example.ps1", text) for text in LOGGED)])
    scripts = Scripts(parsed[:1], aliases, _profiles())
    rules = {
        *rules_language.RULES,
        *rules_commands.RULES,
        *rules_effects.RULES,
        rules_secrets.what_arrives_reaches_the_script_only,
    } - {
        rules_effects.the_call_operator_runs_steps_and_restores_only,
        rules_effects.files_are_moved_and_removed_as_soon_as_nobody_holds_them,
        rules_effects.no_text_becomes_code,
    }
    assert [found for rule in rules for found in rule(scripts)] == []
    for example in parsed[1:]:
        assert list(rules_secrets.what_arrives_reaches_the_script_only(Scripts([example], aliases, {}))), example.text
    (called,) = rules_effects.the_call_operator_runs_steps_and_restores_only(scripts)
    assert called.endswith("& $path"), "it runs the script and nothing else"
    texts = [call.children[-1].kind for call in scripts.all("InvokeMemberExpression") if member_name(call) == "addscript"]
    assert texts == ["ScriptBlockExpression"] * 2, "what it gives to PowerShell is code of this file, and no text"


def test_its_input_is_checked_and_nothing_of_it_is_left(windows_host: WindowsBox) -> None:
    before: set[Path] = folders(windows_host)
    encoded = base64.b64encode(bootstrap().encode("utf-16-le")).decode("ascii")
    line = [pwsh_command(), *command("cmd", "").split()[1:], encoded]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = {name: subprocess.Popen(line, env=environment(windows_host.prefix), **pipes) for name in [*INPUTS, "good"]}
    for name, process in started.items():  # before any of them is waited for: Wine's services hold the pipes of the first
        process.stdin.write(INPUTS[name][0] if name in INPUTS else GOOD)
        process.stdin.close()
        process.stdin = None
    for name, process in started.items():
        out, err = (stream.decode("ascii") for stream in process.communicate(timeout=600))
        if name == "good":
            assert (process.returncode, out, err) == (2, f"{READY}{RAN}", "")
        else:
            assert (process.returncode, out) == (1, READY) and re.fullmatch(INPUTS[name][1], err.strip()), name
    assert folders(windows_host) - before == set()


@pytest.mark.parametrize("text", ["", "mode"])
def test_the_line_of_a_text_is_one_word_of_base64(text: str) -> None:
    assert base64.b64decode(command("cmd", text).split("-EncodedCommand ")[1]).decode("utf-16-le") == text
