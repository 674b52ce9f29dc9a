r"""`local` on Windows, run there: CPython for Windows under Wine, PowerShell in place of powershell.exe (boxes/powershell.c)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.boxes import windows_desktop
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows_desktop import WindowsDesktop
from tests.localized.locales import LANGUAGES, make_locales

HEAD = """
import os, subprocess, sys, threading
from nbserver.local import windows_process, windows_service
from nbserver.base.errors import ScriptError
from nbserver.local.windows_process import Process
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, StopRequested
from pathlib import Path
stop = threading.Event()
transport = connect_to(LocalWindowsHost(), LogonSecrets(), stop)
"""
SLEEPER = "[sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']"


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsDesktop]:
    if windows_desktop.missing():
        pytest.skip(windows_desktop.missing())
    with prefix_folder(tmp_path_factory.mktemp("desktop")) as prefix, closing(WindowsDesktop(prefix)) as made:
        yield made


def run(desktop: WindowsDesktop, code: str) -> list[str]:
    """The lines that a program in Python prints there."""
    done = desktop.python(
        ["-c", HEAD + code],
        extra={"NOTEBOOK_PASSWORD": "geheim", "PIP_INDEX_URL": "https://index.example.com/simple/", "PSModulePath": "C:\\nowhere"},
    )
    assert done.code == 0, done.err
    return done.out.splitlines()


def wait_for(path: Path) -> None:
    end = time.monotonic() + 300
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert path.exists()


# ---- the terminal


def test_nul_is_no_terminal(desktop: WindowsDesktop) -> None:
    """Standard input of a scheduled task, or of what a service starts. `isatty` is true for it."""
    code = "import sys; from nbserver.cli.options import asker; print(sys.stdin.isatty(), asker())"
    assert run(
        desktop, f"print(subprocess.run([sys.executable, '-c', {code!r}], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout)"
    ) == ["True None", ""]


# ---- a program of this machine


def test_a_batch_file_gets_its_arguments_whole(desktop: WindowsDesktop) -> None:
    """As az.cmd, which prints a secret."""
    desktop.host.path("C:\\show.cmd").write_text("@echo [%1][%2]\n", newline="\r\n")
    code = "from nbserver.settings import program_output; print(program_output.run(['C:\\\\show.cmd', 'a&b', 'c d'], limit=100).decode().strip())"
    assert run(desktop, code) == ['["a&b"]["c d"]']


# ---- the transport


def test_the_envelope_arrives_and_every_line_comes_back(desktop: WindowsDesktop) -> None:
    script = (
        '$input | ForEach-Object { "got $_" }; 1..3000 | ForEach-Object { "line $_" }; [Console]::Error.WriteLine(\'an error\'); exit 2'
    )
    lines = run(desktop, f"for line in transport.run({script!r}, ['mode test', 'secret x AAAA']): print(line)")
    assert lines == ["got mode test", "got secret x AAAA", *(f"line {i}" for i in range(1, 3001))]


def test_what_the_script_sees_of_the_environment(desktop: WindowsDesktop) -> None:
    script = '"$env:PIP_INDEX_URL $($null -eq $env:NOTEBOOK_PASSWORD) $($null -eq $env:PYTHONPATH)"; "$env:PSModulePath"; "$env:LOCALAPPDATA"; "$env:TEMP"'
    first, modules, local, temporary = run(desktop, f"for line in transport.run({script!r}, []): print(line)")
    assert first == "https://index.example.com/simple/ True True" and "nowhere" not in modules
    assert local == f"C:\\users\\{desktop.user}\\AppData\\Local" and temporary


def test_a_script_that_cannot_run_says_why(desktop: WindowsDesktop) -> None:
    code = """
for script in ("throw 'no such word'", "exit 7", "[Console]::Out.Write('x' * 10); throw 'an end'"):
    try:
        print(list(transport.run(script, [])))
    except ScriptError as error:
        print(error)
"""
    first, second, third = run(desktop, code)
    assert (
        "PowerShell could not run the script: no such word" in first
        and "exited with code 7 before the end of the script" in second
        and "an end" in third
    )


def test_it_is_told_to_stop(desktop: WindowsDesktop) -> None:
    """Ctrl-C reaches the script, whose `finally` runs; what is run after it, runs."""
    code = r"""
try:
    for line in transport.run("'begun'; try { while ($true) { [Threading.Thread]::Sleep(100) } } finally { [IO.File]::WriteAllText('C:\\stopped', '') }", []):
        print(line)
        stop.set()
except StopRequested:
    print("stopped")
print(list(transport.run("'after'", [])))
"""
    assert run(desktop, code) == ["begun", "stopped", "['after']"]
    assert desktop.host.path("C:\\stopped").exists()


def test_it_goes_on_when_the_orchestrator_dies(desktop: WindowsDesktop) -> None:
    script = r"'begun'; while (-not [IO.File]::Exists('C:\go')) { [Threading.Thread]::Sleep(100) }; 'nobody listens'; [IO.File]::WriteAllText('C:\end', 'written')"
    process = desktop.start(["-c", f"{HEAD}for line in transport.run({script!r}, []): print(line, flush=True)"])
    assert process.stdin and process.stdout
    process.stdin.close()
    assert process.stdout.readline().strip() == b"begun"
    process.kill()
    process.wait()
    desktop.host.path("C:\\go").touch()
    wait_for(desktop.host.path("C:\\end"))


def test_windows_powershell_that_is_not_there(desktop: WindowsDesktop) -> None:
    code = r"""
os.environ["SystemRoot"] = "C:\\elsewhere"
try:
    print(list(transport.run("'begun'", [])))
except ScriptError as error:
    print(error)
"""
    (words,) = run(desktop, code)
    program = r"C:\elsewhere\System32\WindowsPowerShell\v1.0\powershell.exe"
    assert f"local: could not start Windows PowerShell at {program} (" in words


def test_machine_scope_is_planned_with_the_steps_of_a_windows_host(desktop: WindowsDesktop) -> None:
    (desktop.host.folder / "nbserver.toml").write_text(
        '[hosts.local]\nscope = "machine"\nnotebook.password = { env = "NOTEBOOK_PASSWORD" }\n'
    )
    done = desktop.nbserver("plan", "local", "--json", extra={"NOTEBOOK_PASSWORD": "geheimes Passwort"})
    events = [json.loads(line) for line in done.out.splitlines()]
    differ = {event["step"] for event in events if event["event"] == "difference"}
    assert (
        done.code == 4 and {"python", "openssl", "packages", "path", "certificate", "notebook", "service", "firewall", "check"} <= differ
    ), done.out + done.err
    assert "geheimes" not in done.out + done.err and not desktop.host.path("C:\\ProgramData\\nbserver").exists()


def test_user_scope_has_only_its_own_steps(desktop: WindowsDesktop) -> None:
    (desktop.host.folder / "nbserver.toml").write_text('[hosts.local]\nscope = "user"\nnotebook.password = { env = "NOTEBOOK_PASSWORD" }\n')
    done = desktop.nbserver("plan", "local", "--json", extra={"NOTEBOOK_PASSWORD": "geheimes Passwort"})
    events = [json.loads(line) for line in done.out.splitlines()]
    reported = [event["step"] for event in events if event["event"] in ("difference", "unchanged", "failed")]
    assert list(dict.fromkeys(reported)) == ["preflight", "python", "packages", "certificate", "notebook", "service", "check", "cleanup"], (
        done.out + done.err
    )
    assert done.code == 4 and not desktop.host.path(f"C:\\users\\{desktop.user}\\AppData\\Local\\nbserver").exists()


# ---- a secret file


def test_a_secret_file_that_is_open_to_everybody_is_refused(desktop: WindowsDesktop) -> None:
    """Wine makes the access list from the file's mode: what others may do, Everyone may."""
    for mode in (0o604, 0o602, 0o600):
        file = desktop.host.path(f"C:\\{mode:o}.txt")
        file.write_text("hunter2-hunter2\n")
        file.chmod(mode)
    code = """
from nbserver.base.errors import SecretError
from nbserver.settings.secret import SecretReference, resolve
for name in ("604", "602", "600"):
    try:
        print(resolve(SecretReference(file=Path(f"C:/{name}.txt")), what="notebook.password", host="local", ask=None))
    except SecretError as error:
        print(error)
"""
    readable, writable, private = run(desktop, code)
    assert readable.startswith("local: notebook.password: other users can access the secret file C:\\604.txt: Everyone. Run: icacls")
    assert "C:\\602.txt: Everyone" in writable and "hunter2" not in readable + writable
    assert private == "hunter2-hunter2"


def test_an_inventory_that_everybody_may_write_is_refused(desktop: WindowsDesktop) -> None:
    r"""And the site file is where Windows says, not where a variable of the process says."""
    for mode in (0o606, 0o604):
        file = desktop.host.path(f"C:\\{mode:o}.toml")
        file.write_text("[hosts.local]\n")
        file.chmod(mode)
    code = """
from nbserver.approval.policy import site_file
from nbserver.base.errors import InventoryError
from nbserver.inventory import reader
from nbserver.settings import windows_access
for name in ("606", "604"):
    try:
        print(len(reader.load(Path(f"C:/{name}.toml")).hosts))
    except InventoryError as error:
        print(error)
access = windows_access.access_of(Path("C:/604.toml"))
print(access.owner == windows_access.user_sid(), access.owner.startswith("S-1-5-"), access.is_folder, bool(access.entries))
os.environ["ProgramData"] = "C:\\\\elsewhere"
print(site_file())
"""
    writable, readable, access, site = run(desktop, code)
    assert writable.startswith("C:\\606.toml: Everyone can write to this file or its folder. Remove this write access")
    assert (readable, access, site) == ("0", "True True False True", r"C:\ProgramData\nbserver\site.toml")


# ---- a process in the background


def test_a_process_is_known_by_the_time_that_powershell_tells(desktop: WindowsDesktop) -> None:
    code = """
script = f"(Get-Process -Id {os.getpid()}).StartTime.ToFileTimeUtc()"
print(next(transport.run(script, [])), windows_process.created(os.getpid()), windows_process.created(4294967292))
"""
    told, found, nothing = run(desktop, code)[0].split()
    assert told == found and nothing == "0"


def test_only_that_process_is_ended(desktop: WindowsDesktop) -> None:
    code = f"""
child = subprocess.Popen({SLEEPER}, stdout=subprocess.PIPE)
child.stdout.readline()
created = windows_process.created(child.pid)
file = Path("process")
for line in (f"{{child.pid}} {{created + 1}}", f"{{child.pid}} {{created}}"):
    file.write_text(line + "\\nwhat it was started for\\n")
    print(bool(windows_service.running(file)), windows_process.end(windows_service.named(file), 30), child.poll())
print(windows_service.running(file), windows_process.created(child.pid))
"""
    assert run(desktop, code) == ["False True None", "True True 1", "None 0"]


# ---- the language


@pytest.mark.second_tier("starts Python on a Windows in two languages")
@pytest.mark.parametrize(
    ("culture", "page", "words"), [("ja-JP", "cp932", "\u30aa\u30d7\u30b7\u30e7\u30f3:"), ("fr-FR", "cp1252", "Options\u00a0:")]
)
def test_it_speaks_the_language_of_windows(desktop: WindowsDesktop, tmp_path: Path, culture: str, page: str, words: str) -> None:
    """In the code page of that Windows, as in a console or a file there."""
    make_locales(tmp_path, [LANGUAGES[culture]])
    own = {"LC_ALL": f"{LANGUAGES[culture].locale}.UTF-8", "LOCPATH": str(tmp_path), "PYTHONUTF8": "0"}
    out, err = desktop.start(["-m", "nbserver", "status", "--help"], extra=own).communicate(timeout=300)
    assert words in out.decode(page) and err == b""
