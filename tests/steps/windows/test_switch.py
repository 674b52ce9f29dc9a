"""Upgrades to another lock on Windows: the new server is verified first, and the previous one runs again if it fails.

The real prelude and main run with small steps. The task, and whether it runs, are files; each environment is a folder. A real upgrade on
a Windows host is in test_earlier_state.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from nbserver.render.step_files import read_part
from tests.powershell.engine import host_path
from tests.steps.windows.place import PRIVATE, Place, place, session
from tests.tier import points

__all__ = ["place", "session"]
MAIN = read_part("ps_scripts", "main").partition("$ScriptText =")[0]
FUNCTIONS = "\n".join(read_part("ps_scripts", f"steps/{name}").partition("Add-Step")[0] for name in ("packages", "machine/service"))
CLEANUP = read_part("ps_scripts", "steps/cleanup")
PLACES = r"""
$ServiceFolder = "$StateFolder\service"; $ConfigurationFile = "$ServiceFolder\jupyter_server_config.json"; $StarterFile = "$ServiceFolder\serve.py"
$SwitchFolder = "$StateFolder\switch"; $SettingsMark = "$SwitchFolder\settings"; $PreviousFolder = "$StateFolder\previous"; $RotationFile = "$StateFolder\rotation"; $LockFile = "$StateFolder\lock"
$CacheFolder = "$StateFolder\cache"; $FileLists = "$StateFolder\installed"; $ServerLog = "$StateFolder\log"
$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
$Settings.notebook | Add-Member -Force port 9999; $Settings.notebook | Add-Member -Force ip '*'
$ScriptText = 'script'; $SkippedSteps = @()
"""
STAND_INS = r"""
function Write-History([string]$Text) { [IO.File]::AppendAllText("$StateFolder\history", "$Text`n") }
function Read-Envelope { }
function Get-TaskXml([string]$Name) { if ([IO.File]::Exists("$StateFolder\task.xml")) { [IO.File]::ReadAllText("$StateFolder\task.xml") } }
function Get-ScheduledTask { if (Get-TaskXml 'nbserver') { [pscustomobject]@{ State = 'Ready' } } }
function Register-NewTask([string]$Name, [string]$Xml) { [IO.File]::WriteAllText("$StateFolder\task.xml", $Xml) }
function Stop-Task([string]$Name) { Write-History stop; [IO.File]::Delete("$StateFolder\running") }
function Start-ScheduledTask { Write-History start; [IO.File]::WriteAllText("$StateFolder\running", (Get-ServerProgram)) }
function Test-ServerRunning { [IO.File]::Exists("$StateFolder\running") }
function Disable-ScheduledTask { }
function Unregister-ScheduledTask { [IO.File]::Delete("$StateFolder\task.xml") }
function Wait-TaskStart { }
function Stop-ProcessBelow { }
function Test-Serving {
    if (-not [IO.File]::Exists("$StateFolder\running")) { return $false }
    $program = [IO.File]::ReadAllText("$StateFolder\running")
    [IO.File]::Exists($program) -and -not ($Fault -eq 'silent' -and $program -eq (Get-EnvironmentProgram 'python.exe'))
}
function Wait-Server { if (-not (Test-Serving)) { throw (New-Failure server-silent 'no') }; Get-KernelStatus }
function Get-KernelStatus { if ($Fault -ne 'open' -or (Get-ServerProgram) -ne (Get-EnvironmentProgram 'python.exe')) { '403' } else { '200' } }
function Assert-ServerClosed { if (-not (Test-Refused (Get-StatusWithoutPassword))) { throw (New-Failure server-open 'no') } }
function Get-ServerFingerprint { if (Test-ServerRunning) { if ($Fault -eq 'certificate') { 'AA' } else { 'FF' } } }
function Assert-Login { if ($Fault -eq 'login') { throw (New-Failure login-broken 'no') } }
function Get-OpenSslFolder { "$Programs\openssl" }
function Get-PythonFolder { "$Programs\python-1.2" }
function Get-UsedMsi { }
function Get-PythonBundle { }
function Get-DroppedLine { }
function Get-Text([string]$Path) { if ([IO.File]::Exists($Path)) { [IO.File]::ReadAllText($Path) } }
$Steps.Clear()
foreach ($name in @($Hooks.Keys)) { if ($name -ne 'BeforeUndo') { $Hooks[$name] = @() } }
Add-Step packages 'p' -Test {
    if (-not (Test-LockMark) -or [IO.File]::Exists("$(Get-EnvironmentFolder)\damaged")) { Add-Difference packages 'packages' $null 'x' }
} -Apply {
    $Run.Installing = $true
    Start-Environment
    $folder = Get-EnvironmentFolder
    foreach ($path in "$folder\Scripts", "$Programs\python-1.2") { [void](New-Item -ItemType Directory -Force -Path $path) }
    foreach ($file in (Get-EnvironmentProgram 'python.exe'), "$Programs\python-1.2\python.exe") { Write-TextFile $file 'x' }
    if ($Fault -eq 'import') { throw (New-Failure packages-not-importable 'no') }
    Write-TextFile "$folder\pyvenv.cfg" "home = $Programs\python-1.2`nversion = 1.2.3`n"
    Write-TextFile (Get-LockMark) 'x'
}
Add-Step notebook 'n' -Test {
    $Run.Fingerprint = 'FF'
    if ((Get-Text $StarterFile) -ne $Letter -or (Get-Text $ConfigurationFile) -notlike "*$Port*") { Add-Difference file-content 'f' 'x' 'y' }
} -Apply {
    if ($Fault -eq 'refused') { throw (New-Failure salt-differs 'no') }
    Set-TextFile $ConfigurationFile "{`"hashed_password`":  `"$Hash`", `"port`":  $Port, `"ip`":  `"127.0.0.1`", `"lock`":  `"$Letter`"}"
    Set-TextFile $StarterFile $Letter
    if ($Fault -eq 'notebook') { throw (New-Failure still-differs 'no') }
}
Add-Step service 's' -Test {
    if ((Get-ServerProgram) -ne (Get-EnvironmentProgram 'python.exe') -or -not [IO.File]::Exists("$StateFolder\running")) {
        Add-Difference task 'task' 'x' 'y'
    }
} -Apply {
    Stop-Task 'nbserver'
    Start-NewTask "<Task xmlns='x'><Settings><Enabled>true</Enabled></Settings><Actions><Exec><Command>$(Get-EnvironmentProgram 'python.exe')</Command></Exec></Actions></Task>"
    if ($Fault -eq 'stop') { $Run.Outcome = 'stopped' }
}
Add-Step check 'c' -Test { if ((Test-OpenSwitch) -and $Run.Mode -ne 'set-password') { Add-Difference switch-open 'v' 'interrupted' 'complete' } } -Apply { }
"""
# The same for a process of a user: its file has the command on the second line.
USER = r"""
$ProcessFile = "$StateFolder\process"
function Stop-Server { [IO.File]::Delete("$StateFolder\running") }
function Start-BackgroundServer([string]$Python, [string]$Text) {
    Save-Before 'process' $ProcessFile $null
    Write-TextFile $ProcessFile "12 34`n$Text"
    [IO.File]::WriteAllText("$StateFolder\running", $Python)
}
$Restore.process = { param($File) Remove-SingleFile $File }
($Steps | Where-Object { $_.Name -eq 'service' }).Apply = { Start-BackgroundServer (Get-EnvironmentProgram 'python.exe') "$(Get-EnvironmentProgram 'python.exe') -I x`nfiles`n" }
"""
USER_PARTS = [read_part("ps_scripts", f"prelude/user/{name}") for name in ("running_server", "restarted_server", "unused_programs")]
# The run is cut off as by a power failure: at its change number $Cut, everything fails, and nothing is switched back.
CUTS = r"""
$Plain = @{ Text = ${function:Write-TextFile}; Change = ${function:Invoke-FileChange}; New = ${function:New-ClosedFolder}; Task = ${function:Register-NewTask}; Stop = ${function:Stop-Task} }
$Changes = @{ Count = 0 }
function Add-Change { if (++$Changes.Count -ge $Cut) { throw 'cut off' } }
function Write-TextFile([string]$Path, [string]$Text, [string]$Secret) { Add-Change; & $Plain.Text $Path $Text $Secret }
function Invoke-FileChange([string]$Change, [string]$Path, $With) { Add-Change; & $Plain.Change $Change $Path $With }
function New-ClosedFolder([string]$Path, [string]$Sddl) { Add-Change; & $Plain.New $Path $Sddl }
function Register-NewTask([string]$Name, [string]$Xml) { Add-Change; & $Plain.Task $Name $Xml }
function Stop-Task([string]$Name) { Add-Change; & $Plain.Stop $Name }
function Complete-Switch { }
"""
RUN = r"""
foreach ($name in 'Id', 'EventFile', 'Script', 'Operator', 'Step') { $Run[$name] = '' }
foreach ($name in 'NotKept', 'Lock', 'Failure') { $Run[$name] = $null }
foreach ($name in 'Installing', 'Stopped', 'Repair', 'Reboot', 'Differs', 'NewSettings', 'StoppedEarly', 'Answered', 'Ended') { $Run[$name] = $false }
$Run.Mode = $Mode; $Run.Id = [guid]::NewGuid().ToString(); $Run.Outcome = 'ok'; $Run.Changed = $Run.Events = 0
[void](Get-Said)
Invoke-Run | Out-Null
Get-Said
"""
# The Python of the server is replaced first.
REPLACED = r"""
Add-Step python 'y' -Test { if (-not $Run.StoppedEarly) { Add-Difference python 'p' 'x' 'y' } } -Apply { Stop-Server; $Run.StoppedEarly = $true }
Add-Step openssl 'o' -Test { if ($Fault -eq 'openssl') { Add-Difference openssl 'o' 'x' 'y' } } -Apply { throw (New-Failure openssl-failed 'no') }
$Steps.InsertRange(0, @($Steps[5], $Steps[6])); $Steps.RemoveRange(7, 2)
"""
# The pipeline of a test cannot be stopped: the failure is forgotten.
CUT_VERIFICATION = "function Confirm-Switch { throw 'cut off' }; function Complete-Switch { }"
STOPPED = "$plain = ${function:Complete-Switch}; function Complete-Switch { $Run.Outcome = 'stopped'; $Run.Failure = $null; & $plain }"
LOGIN = ("login", "login-broken", "upgrade-switched-back", "ab")
HASH, OTHER_HASH = (f"argon2:$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${name}" for name in ("one", "two"))


@dataclass
class Ran:
    events: list[dict[str, Any]]

    @property
    def outcome(self) -> str:
        return str(self.events[-1]["outcome"])

    def codes(self, event: str) -> list[str]:
        return [found["code"] for found in self.events if found["event"] == event]


class Host:
    """A host whose server runs from the environment of the lock `a`."""

    def __init__(self, place: Place, more: str = "") -> None:
        self.place, self.state, self.programs = place, place.state, place.folder / "programs"
        place.set_access(self.state, PRIVATE)
        (self.state / "service").mkdir()
        first = self.run("apply", "a", "", more)
        assert first.outcome == "ok", first.events

    def run(self, mode: str, lock: str, fault: str = "", more: str = "", *, port: int = 9999, secret: str = HASH) -> Ran:
        """One run of the settings with this lock."""
        settings = json.dumps({"version": "1.2", "executable": ["python.exe"], "kind": "zip"})
        lines = f"$Settings | Add-Member -Force python (ConvertFrom-Json '{settings}'); $Settings | Add-Member -Force release '1'; "
        lines += f"$Settings | Add-Member -Force packages ([pscustomobject]@{{ lock_sha256 = '{lock * 64}' }}); "
        lines += "$Settings | Add-Member -Force openssl ([pscustomobject]@{ kind = 'zip' }); $Settings | Add-Member -Force host 'win1'; "
        lines += f"$Mode = '{mode}'; $Letter = '{lock}'; $Fault = '{fault}'; $Port = {port}; $Hash = '{secret}'; $Secrets.Clear()"
        script = [PLACES, MAIN, FUNCTIONS, STAND_INS, CLEANUP, lines, more, RUN]
        return Ran([json.loads(line) for line in self.place.run("\n".join(script))])

    def serves(self) -> str:
        """The lock whose environment the server runs from, and that of its files."""
        running = (self.state / "running").read_text()
        assert running in (self.state / "task.xml").read_text()
        return running.rpartition("-")[2][0] + (self.state / "service" / "serve.py").read_text()

    def environments(self) -> str:
        return "".join(sorted(path.name[-1] for path in self.programs.iterdir() if path.name.startswith("env-")))

    def starts(self) -> int:
        return (self.state / "history").read_text().count("start")

    def configuration(self) -> str:
        return (self.state / "service" / "jupyter_server_config.json").read_text()

    def is_open(self) -> bool:
        return (self.state / "switch").exists()


@pytest.fixture
def host(place: Place) -> Host:
    return Host(place)


def test_both_systems_run_the_same_programs() -> None:
    texts = [read_part(kind, "prelude/new_server") for kind in ("linux_scripts", "ps_scripts")]
    for first, last in ((r"import importlib, sys\n", r"error\)\)\n"), (r"import http\.client", r"flush=True\)\n'")):
        one, other = (re.search(f"{first}.*?{last}", text, re.DOTALL) for text in texts)
        assert one and other and one[0] == other[0]
    modules = [dict(re.findall(r"([\w-]+)'? ?= ?'?([\w.]+)", text[: text.index("import importlib")])) for text in texts]
    assert modules[0] == {**modules[1]} and len(modules[0]) == 8


def test_a_damaged_record_does_not_keep_a_run_from_its_end(host: Host) -> None:
    """An empty line is left out. Any other line that is not valid ends the run, which reports it and releases the lock."""
    record = host.state / "record.jsonl"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], "", *lines[1:], ""]))
    assert host.run("apply", "a").outcome == "ok"
    for wrong in ('{"v":1,"step":"x"}', "null", "[1]", "torn {"):
        record.write_text("\n".join([lines[0], "", wrong, *lines[1:]]))
        found = host.run("apply", "a")
        (failed,) = [event for event in found.events if event["event"] == "failed"]
        assert (found.outcome, failed["code"], failed["values"]["number"]) == ("failed", "record-damaged", 3)
        assert (host.state / "lock").read_text() == ""


def test_a_record_of_a_newer_release_is_not_called_damaged(host: Host) -> None:
    record = host.state / "record.jsonl"
    text = record.read_text()
    for wrong in ('{"key":"x","v":2}', '{"before":null,"key":"x","kind":"folder","step":"x","v":12}'):
        record.write_text(f"{text.rstrip()}\n{wrong}\n")
        for mode in ("apply", "undo"):
            found = host.run(mode, "a")
            (failed,) = [event for event in found.events if event["event"] == "failed"]
            assert (found.outcome, failed["code"]) == ("failed", "record-newer")
            assert "a newer release of nbserver wrote it. Upgrade nbserver" in failed["text"]
            assert record.read_text() == f"{text.rstrip()}\n{wrong}\n"
    record.write_text(text)
    assert host.run("apply", "a").outcome == "ok"


def test_an_upgrade_keeps_exactly_one_previous_environment(host: Host) -> None:
    planned = host.run("test", "b")
    assert "installed-path" not in planned.codes("difference"), "the present one is kept"
    done = host.run("apply", "b")
    assert done.outcome == "ok" and (host.serves(), host.environments()) == ("bb", "ab"), done.events
    assert "verifying-server" in done.codes("progress") and not host.is_open()
    assert host.run("test", "b").codes("difference") == []
    assert host.run("apply", "c").outcome == "ok" and (host.serves(), host.environments()) == ("cc", "bc")
    assert (host.programs / "python-1.2").is_dir()
    undone = host.run("undo", "c")
    assert undone.outcome == "ok", undone.events
    assert host.environments() == "" and not (host.state / "previous").exists() and not (host.state / "task.xml").exists()


@pytest.mark.parametrize(
    ("fault", "cause", "code", "kept"),
    points(
        [
            ("import", "packages-not-importable", "upgrade-not-begun", "a"),
            ("notebook", "still-differs", "upgrade-switched-back", "ab"),
            ("silent", "server-silent", "upgrade-switched-back", "ab"),
            ("open", "server-open", "upgrade-switched-back", "ab"),
            ("certificate", "new-server-certificate", "upgrade-switched-back", "ab"),
            LOGIN,
        ],
        ("import", "packages-not-importable", "upgrade-not-begun", "a"),
        LOGIN,
    ),
)
def test_an_upgrade_that_fails_leaves_the_previous_server(host: Host, fault: str, cause: str, code: str, kept: str) -> None:
    before = host.configuration()
    done = host.run("apply", "b", fault, port=8888)
    assert done.outcome == "failed" and done.codes("failed") == [cause, code], done.events
    last = [event for event in done.events if event["event"] == "failed"][-1]
    assert last["cause"]["code"] == cause and last["values"]["environment"] == host_path(host.programs / f"env-1.2-{'a' * 8}")
    assert (host.serves(), host.environments(), host.configuration()) == ("aa", kept, before) and not host.is_open()
    assert set(host.run("test", "a").codes("difference")) <= {"installed-path"}, "only the environment that failed is left"
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("bb", "ab")


def test_a_server_that_was_stopped_for_its_python_runs_again(host: Host) -> None:
    """Its Python is replaced, and what fails then has changed none of the server's files."""
    for lock, fault, codes in (("b", "import", ["packages-not-importable", "upgrade-not-begun"]), ("a", "openssl", ["openssl-failed"])):
        done = host.run("apply", lock, fault, REPLACED)
        assert done.codes("failed") == codes and host.serves() == "aa", done.events
    assert host.starts() == 3


def test_a_process_of_a_user_is_switched_back(place: Place) -> None:
    own = "\n".join([*USER_PARTS, USER])
    host = Host(place, own)
    process = (host.state / "process").read_text()
    done = host.run("apply", "b", "login", own)
    assert done.codes("failed") == ["login-broken", "upgrade-switched-back"], done.events
    assert (host.state / "process").read_text() == process and f"-{'a' * 8}" in process and host.environments() == "ab"
    assert host.run("apply", "b", "", own).outcome == "ok" and f"-{'b' * 8}" in (host.state / "process").read_text()
    assert host.environments() == "ab" and not host.is_open()


def test_a_stopped_run_switches_back_and_says_so(host: Host) -> None:
    done = host.run("apply", "b", "stop", "function Confirm-Switch { throw (New-Failure x 'x') }\n" + STOPPED)
    assert done.outcome == "stopped" and done.codes("warning") == ["upgrade-switched-back"], done.events
    assert host.serves() == "aa" and not host.is_open()


def test_a_password_that_was_replaced_since_stays(host: Host) -> None:
    done = host.run("apply", "b", "login", secret=OTHER_HASH)
    assert done.codes("failed")[-1] == "upgrade-switched-back" and host.serves() == "aa"
    assert OTHER_HASH in host.configuration() and '"lock":  "a"' in host.configuration()


def test_a_password_that_was_replaced_by_itself_stays(host: Host) -> None:
    """Its apply was cut off, and the next one fails: set-password has also changed what is restored."""
    host.run("apply", "a", "", CUT_VERIFICATION, port=8888)
    sent = f"function Assert-MayStart {{ }}; $Secrets['notebook.password_hash'] = '{OTHER_HASH}'\n"
    done = host.run("set-password", "a", "", sent, port=8888)
    assert done.outcome == "ok" and OTHER_HASH in host.configuration() and host.is_open(), done.events
    assert host.run("apply", "a", "login", sent, port=8888, secret=OTHER_HASH).codes("failed")[-1] == "settings-restored"
    assert OTHER_HASH in host.configuration() and "9999" in host.configuration()


def test_the_only_environment_that_works_is_never_removed(host: Host) -> None:
    """An upgrade is cut off, and the previous settings are applied again, which fails: that environment is not a new one."""
    host.run("apply", "b", "", CUTS.replace("$Plain =", "$Cut = 1000; $Plain =") + "function Confirm-Switch { throw 'cut off' }")
    assert host.is_open() and host.serves() == "bb"
    refused = host.run("apply", "b", "", "Add-Hook Started { $Run.Left = 'run a,'; throw (New-Failure left-program-runs 'no') }")
    assert refused.codes("failed") == ["left-program-runs"] and host.is_open(), "a program of the killed run still works"
    (host.state / "lock").write_text("")
    assert host.run("test", "b").codes("difference") == ["switch-open"]
    done = host.run("apply", "a", "silent", "function Assert-PreviousServer { throw (New-Failure previous-not-responding 'x') }")
    assert done.codes("failed")[1:] == ["upgrade-not-switched-back"], done.events
    assert host.environments() == "ab" and host.is_open()
    assert host.run("apply", "a").outcome == "ok" and host.serves() == "aa" and not host.is_open()


def test_a_full_disk_gets_the_space_of_the_new_environment(host: Host) -> None:
    full = "$PlainCopy = ${function:Copy-Over}; function Copy-Over([string]$From, [string]$Path) {"
    full += " if ([IO.Directory]::Exists((Get-EnvironmentFolder))) { throw (New-Failure disk-full 'full') }; & $PlainCopy $From $Path }"
    done = host.run("apply", "b", "login", full)
    assert done.codes("failed")[-1] == "upgrade-switched-back", done.events
    assert (host.serves(), host.environments()) == ("aa", "a")


def test_settings_that_fail_leave_the_previous_server(host: Host) -> None:
    """The environment stays the same. What changed no file restarts no server."""
    starts = host.starts()
    refused = host.run("apply", "b", "refused")
    assert refused.codes("failed") == ["salt-differs", "upgrade-not-begun"] and host.starts() == starts, refused.events
    assert host.serves() == "aa" and not host.is_open()
    assert host.run("apply", "b").outcome == "ok"
    before, starts = host.configuration(), host.starts()
    refused = host.run("apply", "b", "refused", port=8888)
    assert refused.codes("failed") == ["salt-differs"] and not host.is_open() and host.starts() == starts, refused.events
    done = host.run("apply", "b", "login", port=8888)
    assert done.codes("failed") == ["login-broken", "settings-restored"] and host.starts() > starts, done.events
    assert host.configuration() == before and (host.serves(), host.environments(), host.is_open()) == ("bb", "ab", False)
    sent = f"$Secrets['notebook.password_hash'] = '{OTHER_HASH}'\n"
    assert host.run("apply", "b", "login", sent, port=8888, secret=OTHER_HASH).codes("failed")[-1] == "settings-restored"
    assert host.configuration() == before, "also the password that this run has sent"
    host.run("apply", "b", "", CUT_VERIFICATION, port=8888, secret=OTHER_HASH)
    assert OTHER_HASH in host.configuration() and host.is_open()
    assert host.run("apply", "b", "login", port=8888, secret=OTHER_HASH).codes("failed")[-1] == "settings-restored"
    assert host.configuration() == before, "also the password that came with them in the run that was cut off"
    lost = host.run("apply", "b", "login", "function Assert-PreviousServer { throw (New-Failure x 'x') }", port=8888)
    assert lost.codes("failed") == ["login-broken", "settings-not-restored"] and host.is_open()
    assert host.run("test", "b").codes("difference") == ["switch-open"]
    assert host.run("rollback", "b").codes("failed") == ["rollback-in-upgrade"]
    assert host.run("apply", "b", port=8888).outcome == "ok" and "8888" in host.configuration()
    assert (host.serves(), host.environments(), host.is_open()) == ("bb", "ab", False), "the previous environment stays"


@pytest.mark.parametrize("cut", points(range(1, 40), 17, 24))
def test_a_run_that_was_cut_off_is_completed_or_switched_back(host: Host, cut: int) -> None:
    host.run("apply", "b", "", CUTS.replace("$Plain =", f"$Cut = {cut}; $Plain =", 1))
    assert "a" in host.environments()
    done = host.run("apply", "b", "login")
    assert done.outcome == "ok" or done.codes("failed")[-1] == "upgrade-switched-back", done.events
    assert host.serves() == ("bb" if done.outcome == "ok" else "aa")
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("bb", "ab") and not host.is_open()
    assert host.run("undo", "b").outcome == "ok" and host.environments() == ""
    assert not [path.name for path in host.state.iterdir() if path.name.startswith(("switch", "previous"))]
