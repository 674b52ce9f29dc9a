"""Mode status on Windows: service, versions, certificate, and the last run are read, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbserver.render.step_files import read_part
from tests.authority import pem
from tests.formats import validate
from tests.powershell.engine import host_path
from tests.steps.windows.place import PRIVATE, Place, place, session
from tests.workstation_certificate import LEAF

__all__ = ["place", "session"]
MAIN = read_part("ps_scripts", "main").partition("$ScriptText =")[0]
TASK = """
function Get-ScheduledTask { param($TaskName, $TaskPath, $ErrorAction) if ('STATE') { [pscustomobject]@{ State = 'STATE' } } }
function Get-TaskXml { if ('STATE') { '<Task><Actions><Exec><Command>PROGRAMS\\env-3.13.1-00000000\\Scripts\\python.exe</Command></Exec></Actions></Task>' } }
function Get-EnvironmentFolder { 'PROGRAMS\\env-of-the-settings' }
function Get-PortProcess { foreach ($path in 'C:\\Python\\python.exe', 'PROGRAMS\\env-3.13.1-00000000\\Scripts\\python.exe', 'C:\\svchost.exe') {
    [pscustomobject]@{ ExecutablePath = $path; CreationDate = [DateTime]('2026-11-22T17:11:{0:00}Z' -f ($path.Length % 60)) } } }
"""
SHA = "ab" * 32


def started(run: str, operator: str = "anna@desk", mode: str = "apply") -> dict[str, Any]:
    """The first event of a run, with its fields in the order of Windows."""
    fields = {"host": "win1", "mode": mode, "operator": operator, "release": "0.6.0", "run": run, "script_sha256": SHA}
    return {"v": 1, "n": 1, "time": "2026-11-22T17:10:35.9526580Z", "step": "", "event": "started", "boot": "", **fields}


def finished(outcome: str) -> dict[str, Any]:
    fields = {"changed": 1, "differs": True, "fingerprint": "", "outcome": outcome, "reboot": False, "restarting": False}
    return {"v": 1, "n": 2, "time": "2026-11-22T17:12:00.5526620Z", "step": "", "event": "finished", **fields}


class Host:
    """A host with a certificate and an environment."""

    def __init__(self, place: Place) -> None:
        self.place, self.state = place, place.state
        place.set_access(self.state, PRIVATE)
        (self.state / "service").mkdir()
        (self.state / "service" / "certificate.pem").write_text(pem(LEAF))
        (self.state / "service" / "key.pem").write_text("key")
        environment = place.folder / "programs" / "env-3.13.1-00000000"
        packages = environment / "Lib" / "site-packages"
        for name in ("numpy-2.3.2", "PyZMQ-27.0.2", "jupyter_server-2.17.0", "jupyter_server_terminals-0.5.3", "notebook-7.4.5"):
            (packages / f"{name}.dist-info").mkdir(parents=True)
        (environment / "pyvenv.cfg").write_text("home = C:\\no such Python\nversion = 3.13.1\n")

    def keep(self, run: str, *events: dict[str, Any]) -> Path:
        """Write the events of a run, the last one without its end if it is cut off."""
        folder = self.state / "runs" / run
        folder.mkdir(parents=True)
        file = folder / "events.jsonl"
        file.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
        return file

    def status(self, state: str = "Running", before: str = "") -> dict[str, Any]:
        """What the event `status` has."""
        files = '$ServiceFolder = "$StateFolder\\service"; $CertificateFile = "$ServiceFolder\\certificate.pem"; $KeyFile = "$ServiceFolder\\key.pem"; '
        stand_ins = TASK.replace("STATE", state).replace("PROGRAMS", host_path(self.place.folder / "programs"))
        mode = "$Settings.notebook | Add-Member -Force port 9999; $Run.Mode = 'status'; $Run.Step = ''; "
        lines = self.place.run("\n".join([files, MAIN, stand_ins, mode, before, "[void](Get-Said); Write-Status; Get-Said"]))
        event: dict[str, Any] = json.loads(lines[-1])
        validate("event", event)
        assert event["event"] == "status"
        return event

    def begun(self, mode: str, release: str) -> list[dict[str, Any]]:
        """The warnings of a run `r2` of a script of a release, after its first event."""
        values = f"$Run.Mode = '{mode}'; $Run.Id = 'r2'; $Settings | Add-Member -Force release '{release}'; $Run.Step = ''; "
        lines = self.place.run(f"{MAIN}\n{values}[void](Get-Said); Invoke-Hook Begun; Get-Said")
        return [json.loads(line) for line in lines]


@pytest.fixture
def host(place: Place) -> Host:
    return Host(place)


def test_what_the_server_is(host: Host) -> None:
    found = host.status()
    assert found["service"] == {"state": "running", "by": "task", "start": "automatic", "since": found["service"]["since"]}
    length = len(host_path(host.place.folder / "programs") + "\\env-3.13.1-00000000\\Scripts\\python.exe")
    assert found["service"]["since"] == f"2026-11-22T17:11:{length % 60:02}Z", "that of the program in our folder"
    assert found["versions"] == {"python": "3.13.1", "numpy": "2.3.2", "pyzmq": "27.0.2", "jupyter_server": "2.17.0", "notebook": "7.4.5"}
    assert found["certificate"]["subject"].startswith("CN=") and found["certificate"]["expires"] > "2026"
    assert (found["record"], found["last"]) == (0, None)


@pytest.mark.parametrize(
    ("task", "state", "start"),
    [("Ready", "stopped", "automatic"), ("Queued", "starting", "automatic"), ("Disabled", "stopped", "disabled"), ("", "absent", "none")],
)
def test_the_state_of_the_task(host: Host, task: str, state: str, start: str) -> None:
    service = host.status(task)["service"]
    assert (service["state"], service["start"], service["since"]) == (state, start, "")


def test_the_last_run(host: Host) -> None:
    host.keep("run-1", started("run-1"), finished("reboot"))
    last = host.status()["last"]
    assert last == {
        "run": "run-1",
        "mode": "apply",
        "outcome": "reboot",
        "operator": "anna@desk",
        "release": "0.6.0",
        "script_sha256": SHA,
        "started": "2026-11-22T17:10:35.9526580Z",
        "finished": "2026-11-22T17:12:00.5526620Z",
    }
    operator = 'A\u00e9 "x","run":"y"} \\ 2026-11-22T17:10:35Z'
    newest = host.keep("a-run", started("a-run", operator, "undo"))
    last = host.status()["last"]
    assert (last["run"], last["mode"], last["outcome"], last["finished"], last["operator"]) == (
        "a-run",
        "undo",
        "interrupted",
        "",
        operator,
    )
    assert host.status(before="function Get-LockOwner { 'run a-run, mode undo' }")["last"]["outcome"] == "running"
    assert host.status(before="function Get-LockOwner { 'run a-run-2, mode undo' }")["last"]["outcome"] == "interrupted", "its next leg"
    newest.write_text('{"v":1,"n":1,"time":"2026-11-22T')
    assert host.status()["last"] is None


def test_a_script_of_an_older_release_than_the_last_one_is_a_warning(host: Host) -> None:
    """On a second workstation, which would reverse what the first one has changed. The run itself has events too."""
    file = host.keep("run-1", started("run-1", 'anna at "a"') | {"release": "0.10.0"}, finished("ok"))
    host.keep("r2", started("r2") | {"release": "0.1.0"})
    os.utime(file, (1, 1))
    for mode, release, expected in (
        ("test", "0.9.9", ["release-older"]),
        ("test", "0.10.0", []),
        ("test", "0.10.1", []),
        ("apply", "0.9.9", ["release-older"]),
        ("undo", "0.9.9", []),
    ):
        events = host.begun(mode, release)
        assert [event["code"] for event in events] == expected, (mode, release)
        if expected:
            assert events[0]["values"] == {"newer": "0.10.0", "own": "0.9.9"}


@pytest.mark.parametrize("release", ["", "newest", "9.9", "99999.0.0", r"\u12"])
def test_a_run_whose_release_is_not_known_is_no_newer_one(host: Host, release: str) -> None:
    file = host.keep("run-1", started("run-1") | {"release": "RELEASE"})
    file.write_text(file.read_text().replace("RELEASE", release))
    assert host.begun("apply", "0.9.9") == []


def test_the_runs_that_the_host_has_kept(host: Host) -> None:
    """Mode evidence: each run with the hash of its events, and whether its script is as its hash says."""
    first = host.keep("run-1", started("run-1"), finished("ok"))
    damaged = host.keep("run-2", finished("ok"))
    (host.state / "runs" / "empty").mkdir()
    script = first.with_name(f"{SHA}.ps1")
    for content, state in ((None, "missing"), ("another script", "changed")):
        if content:
            script.write_text(content)
        lines = host.place.run(f"{MAIN}\n$Run.Mode = 'evidence'; $Run.Step = ''; [void](Get-Said); & $Modes.evidence; Get-Said")
        events = [json.loads(line) for line in lines]
        for event in events:
            validate("event", event)
        one, other = events
        assert (one["id"], one["run"]["outcome"], one["script"]) == ("run-1", "ok", state)
        assert (other["id"], other["run"], other["script"]) == ("run-2", None, "missing")
        for event, file in ((one, first), (other, damaged)):
            assert (event["sha256"], event["size"]) == (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size)
    text = b"# a script"
    sha256 = hashlib.sha256(text).hexdigest()
    host.keep("run-3", {**started("run-3"), "script_sha256": sha256}).with_name(f"{sha256}.ps1").write_bytes(text)
    lines = host.place.run(f"{MAIN}\n$Run.Mode = 'evidence'; $Run.Step = ''; [void](Get-Said); & $Modes.evidence; Get-Said")
    last = json.loads(lines[-1])
    assert (last["script"], last["run"]["outcome"]) == ("kept", "interrupted")


def test_nothing_is_set_up(host: Host) -> None:
    for file in (host.state / "service").iterdir():
        file.unlink()
    found = host.status("")
    assert (found["versions"], found["certificate"], found["last"]) == ({}, None, None)


def test_it_only_reads(host: Host) -> None:
    """Start-Run takes no lock and writes no file in this mode, and what differs is reported as in a test."""
    steps = """
$Steps.Clear()
Add-Step one 'o' -Test { Add-Difference folder-missing '{path}' $null 'a folder' @{ path = 'P' } } -Apply { throw 'applied' }
Add-Step two 't' -Test { } -Apply { throw 'applied' }
$ScriptText = 'script'; $Settings | Add-Member -Force host 'win1'; $Settings | Add-Member -Force release '0.6.0'; $Run.Id = 'r1'; $Run.Differs = $false
function Write-Status { Write-Event status @{ stand_in = 1 } }
"""
    before = sorted(path for path in host.state.rglob("*"))
    text = (
        f"{MAIN}\n{steps}$Run.Mode = 'status'; $Run.Step = ''; [void](Get-Said); Start-Run; & $Modes.status; Get-Said; [string]$Run.Differs"
    )
    *lines, differs = host.place.run(f'$RotationFile = "$StateFolder\\rotation"; {text}')
    events = [json.loads(line) for line in lines]
    assert [(event["event"], event["step"]) for event in events] == [
        ("started", ""),
        ("status", ""),
        ("difference", "one"),
        ("unchanged", "two"),
    ]
    assert differs == "True" and events[0]["mode"] == "status" and sorted(path for path in host.state.rglob("*")) == before
