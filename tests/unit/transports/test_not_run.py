"""What is said of a script that its shell could not run, or that was killed."""

from __future__ import annotations

import pytest

from nbserver.transports import not_run

KILLED = "l1: the script was killed with signal 9 (SIGKILL). Run the command again, which is safe."
BY_BASH = 'nbserver: line 127: 24309 Segmentation fault setsid bash -p ./nbserver.sh envelope < <(printf "%s\\n" "${envelope[@]}") >> output 2> errors'
FAILED = "l1: bash could not run the script: "


@pytest.mark.parametrize(
    ("words", "code", "signal", "expected"),
    [
        ("", -9, "", KILLED),
        ("", 137, "", KILLED),
        ("", None, "KILL", KILLED),
        ("bash: line 1: 12 Killed sudo bash", 137, "", KILLED),
        ("", 143, "", "l1: the script was ended by SIGTERM."),
        ("", -11, "", "l1: the script was ended by SIGSEGV."),
        (BY_BASH, 139, "", "l1: the script was ended by SIGSEGV."),
        (f"{BY_BASH} why", 139, "", f"{FAILED}nbserver: line 127: "),
        ("", None, "XCPU", "l1: the script was ended by SIGXCPU."),
        ("malloc failed", 134, "", f"{FAILED}malloc failed."),
        ("", 7, "", f"{FAILED}exit code 7, no error output."),
        ("", 128, "", f"{FAILED}exit code 128, no error output."),
        ("", 255, "", f"{FAILED}exit code 255, no error output."),
        ("", None, "", f"{FAILED}exit code none, no error output."),
    ],
)
def test_a_script_of_bash(words: str, code: int | None, signal: str, expected: str) -> None:
    assert str(not_run.by_bash("l1", words, code, signal)).startswith(expected)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("", 1, "w1: PowerShell exited with code 1 before the end of the script, without an error message. Run the command again"),
        ("", -1, "w1: PowerShell exited with code -1 before the end of the script, without an error message. Run the command again"),
        ("no such word", 1, "w1: PowerShell could not run the script: no such word."),
    ],
)
def test_a_script_of_powershell(words: str, code: int, expected: str) -> None:
    assert str(not_run.by_powershell("w1", words, code)).startswith(expected)
