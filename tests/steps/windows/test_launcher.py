"""The launcher on Windows: what it passes to the script that it carries, and that no other script runs."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from nbserver.export import launcher
from nbserver.render.script import Script
from tests.azure_deployment import evaluated
from tests.boxes.no_state_folder import no_state_folder
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, pwsh_command, windows_path
from tests.steps.windows.test_bootstrap import OPEN
from tests.unit.export.test_azure import exported, run_command

SECRET = "argon2:$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA it's"
ENCODED = base64.b64encode(f"{SECRET}\n".encode()).decode()
CODE = f"@($input) -join '|'; try {{ [IO.File]::OpenWrite($PSCommandPath).Close(); 'changed' }} catch {{ 'held' }}; {OPEN}$PSScriptRoot; exit <code>\n"
OPTIONS = ["-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass"]
HASH_FILE, LOG = r"%SystemDrive%\hash.txt", r"%SystemDrive%\launcher.log"
# Wine does not keep the owner of a file. What is asked for it says that of a file of an ordinary user.
OF_A_USER = r"""
Update-TypeData -TypeName System.IO.FileStream -MemberType ScriptMethod -MemberName GetAccessControl -Value {
    $acl = New-Object Security.AccessControl.FileSecurity
    $acl.SetSecurityDescriptorSddlForm('O:S-1-5-21-1-2-3-1001D:')
    $acl
}
& "$PSScriptRoot\file.ps1"
exit $LASTEXITCODE
"""


def script(code: int = 0, sha256: str = "") -> Script:
    text = CODE.replace("<code>", str(code))
    return Script("a", (text,), {}, (), sha256 or hashlib.sha256(text.encode()).hexdigest(), "", "ps1")


def launched(name: str) -> tuple[bytes, list[str]]:
    """A file to run, and the parameters that a tool passes."""
    if name == "azure":
        template, _, _ = exported("windows")
        found = run_command(template)
        given = {"mode": "test", "run": "azure-1", "notebookPasswordHash": SECRET}
        values = [*found["parameters"], *found["protectedParameters"]]
        named = [(f"-{one['name']}", evaluated(one["value"], given)) for one in values]
        return found["source"]["script"].encode("ascii"), [text for pair in named for text in pair]
    text = "@($input) -join '|'; '{\"outcome\":\"reboot\"}'; exit 3010\n"
    waits = Script("a", (text,), {}, (), hashlib.sha256(text.encode()).hexdigest(), "", "ps1")
    return {
        "parameters": (launcher.windows(script(2), mode="test"), ["-Mode", "apply", "-Run", "r-1", "-Encoded", ENCODED]),
        "command": (launcher.windows(script(2), mode="test"), ["-Mode", "apply", "-Run", "r-1", "-Encoded", ENCODED]),
        "empty": (launcher.windows(script(2), mode="test"), ["-Mode", "check", "-Run", "r-1", "-Encoded", "none"]),
        "file": (launcher.windows(script(3010), mode="apply", hash_file=HASH_FILE, log=LOG), []),
        "waits": (launcher.windows(waits, mode="apply", hash_file=r"%SystemDrive%\removed.txt"), []),
        "other": (launcher.windows(script(sha256="0" * 64), mode="test"), []),
        "stranger": (OF_A_USER.encode("ascii"), []),
    }[name]


@pytest.fixture(scope="module")
def answers(windows_host: WindowsBox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Name -> exit code, output, and complaint; all of them at once."""
    folder = tmp_path_factory.mktemp("launched")
    windows_host.path(r"C:\hash.txt").write_text(f"{SECRET}\r\n", encoding="ascii")
    with no_state_folder(windows_host):
        started = {}
        for name in ("azure", "parameters", "command", "empty", "file", "waits", "other", "stranger"):
            code, given = launched(name)
            file: Path = folder / f"{name}.ps1"
            file.write_bytes(code.replace(b"\n", b"\r\n"))  # a tool may convert the ends of lines
            how = ["-File", windows_path(file), *given]
            if name == "command":  # what runs it may parse the values as PowerShell
                how = ["-Command", f"& '{windows_path(file)}' {' '.join(given)}"]
            command = [pwsh_command(), *OPTIONS, *how]
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            started[name] = subprocess.Popen(command, env=environment(windows_host.prefix), **pipes)  # type: ignore[call-overload]
        found = {}
        for name, process in started.items():
            out, err = process.communicate(timeout=600)
            found[name] = (process.returncode, out.decode("ascii").replace("\r\n", "\n"), err.decode("ascii"))
    return found


def envelope(*lines: str) -> str:
    return "|".join([*lines, f"secret notebook.password_hash {base64.b64encode(SECRET.encode()).decode()}"])


def test_it_passes_mode_run_and_secret_as_the_envelope(answers: dict[str, tuple[int, str, str]], windows_host: WindowsBox) -> None:
    code, out, err = answers["parameters"]
    given, *how, folder = out.splitlines()
    assert (code, given, how, err) == (1, envelope("mode apply", "run r-1"), ["held", "closed", "open"], "")
    assert not windows_host.path(folder).exists(), "nothing is left"


def test_a_hash_survives_powershell_and_none_is_sent_as_such(answers: dict[str, tuple[int, str, str]]) -> None:
    assert (answers["command"][0], answers["command"][1].splitlines()[0]) == (1, envelope("mode apply", "run r-1"))
    assert (answers["empty"][0], answers["empty"][1].splitlines()[0]) == (1, "mode check|run r-1")


def test_it_reads_the_hash_from_a_file_and_writes_a_log(answers: dict[str, tuple[int, str, str]], windows_host: WindowsBox) -> None:
    assert answers["file"] == (0, "", "")
    assert windows_host.path(r"C:\launcher.log").read_text("ascii").splitlines()[:2] == [envelope("mode apply"), "held"]


def test_a_hash_that_any_user_may_have_written_is_refused(answers: dict[str, tuple[int, str, str]]) -> None:
    """Whoever wrote it knows the password. In ProgramData, every user can create a file."""
    code, out, err = answers["stranger"]
    assert (code, out) == (3, "") and err.strip() == r"nbserver launcher: C:\hash.txt is owned by S-1-5-21-1-2-3-1001"


def test_a_run_that_waits_for_a_restart_has_failed_and_a_removed_hash_is_not_needed(answers: dict[str, tuple[int, str, str]]) -> None:
    """What runs a launcher must not take a server for installed, or a second run for impossible."""
    code, out, err = answers["waits"]
    assert (code, out.splitlines()[0], err) == (3, "mode apply", "")


def test_another_script_does_not_run(answers: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = answers["other"]
    assert (code, out) == (3, "") and f"expected {'0' * 64}" in err


def test_a_template_runs_the_script_that_it_names(answers: dict[str, tuple[int, str, str]]) -> None:
    template, _, rendered = exported("windows")
    started = json.loads(answers["azure"][1].splitlines()[0])
    assert (started["event"], started["mode"], started["run"]) == ("started", "test", "azure-1")
    assert started["script_sha256"] == rendered.sha256 == template["outputs"]["scriptSha256"]["value"]
    assert all(SECRET not in text for text in answers["azure"][1:])
