"""Restart, stop, set-password, and rotate-certificate on Windows: the registered task starts again as it is, and nothing else is changed."""

from __future__ import annotations

import json

import pytest

from nbserver.render.step_files import read_part
from tests.authority import ec_key, pem
from tests.powershell.engine import steps
from tests.steps.windows.place import PRIVATE, Place, place, session
from tests.workstation_certificate import LEAF, NAMES, SECOND

__all__ = ["place", "session"]
MAIN = read_part("ps_scripts", "main").partition("$ScriptText =")[0]
SERVICE = read_part("ps_scripts", "steps/machine/service")
# Stand-ins for the task scheduler and the server. The task and whether it runs are files; each request is a line of the history.
TASKS = r"""
$Steps.Clear()
function Write-History([string]$Text) { [IO.File]::AppendAllText("$StateFolder\history", "$Text`n") }
function Get-TaskXml([string]$Name) { if ([IO.File]::Exists("$StateFolder\task.xml")) { [IO.File]::ReadAllText("$StateFolder\task.xml") } }
function Get-ScheduledTask {
    $xml = Get-TaskXml 'nbserver'
    if (-not $xml) { return }
    $state = 'Ready'
    if ([IO.File]::Exists("$StateFolder\running")) { $state = 'Running' }
    if ($xml.Contains('<Settings><Enabled>false')) { $state = 'Disabled' }
    [pscustomobject]@{ State = $state }
}
function Set-Task([string]$Name, [string]$Xml) { Write-History register; [IO.File]::WriteAllText("$StateFolder\task.xml", $Xml) }
function Stop-Task([string]$Name) { Write-History stop; [IO.File]::Delete("$StateFolder\running") }
function Start-ScheduledTask { Write-History start; [IO.File]::WriteAllText("$StateFolder\running", 'x') }
function Disable-ScheduledTask {
    Write-History disable
    [IO.File]::WriteAllText("$StateFolder\task.xml", (Get-TaskXml 'nbserver').Replace('<Enabled>true', '<Enabled>false'))
}
function Get-PortProcess { if ([IO.File]::Exists("$StateFolder\running")) { [pscustomobject]@{ ExecutablePath = "$Programs\python.exe"; CreationDate = [DateTime]::UtcNow } } }
function Wait-Server { if ($global:Broken -and (Get-ServerFingerprint) -ne $global:Good) { throw (New-Failure server-silent 'no') } }
function Get-ServerFingerprint { Get-Fingerprint (Get-ServerCertificate) }
function Install-OwnCertificate {
    Write-TextFile $SourceFile 'unfinished'
    if ($global:Cut) { throw (New-Failure cut 'cut') }
    Write-TextFile $KeyFile 'new key'
    Write-TextFile $CertificateFile $global:NewCertificate
    Write-TextFile $SourceFile 'host'
}
function Get-ServiceState { "files of $global:Files" }
"""
CHECK = r"""
Add-Step certificate 'c' -Test { } -Apply { }
Add-Step notebook 'n' -Test { } -Apply { }
Add-Step check 'k' -Test { if (-not [IO.File]::Exists("$StateFolder\running")) { Add-Difference x 'x' 'a' 'b' } } -Apply { }
"""
OLD, NEW = (f"argon2:$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${name}" for name in ("old", "new"))
OTHER = pem(SECOND.sign(ec_key().public_key(), NAMES))
NEW_CERTIFICATE = f"$global:NewCertificate = '{OTHER}'; $global:Good = Get-ServerFingerprint; "
TASK = "<Task xmlns='x'><RegistrationInfo><Description>old</Description></RegistrationInfo><Settings><Enabled>true</Enabled></Settings><More>of the site</More></Task>"


class Host:
    """A host whose task runs with the certificate LEAF."""

    def __init__(self, place: Place) -> None:
        self.place, self.state = place, place.state
        place.set_access(self.state, PRIVATE)
        (self.state / "service").mkdir()
        (self.state / "service" / "certificate.pem").write_text(pem(LEAF))
        (self.state / "service" / "key.pem").write_text("key")
        (self.state / "service" / "certificate.source").write_text("host")
        self.configuration = self.state / "service" / "jupyter_server_config.json"
        self.configuration.write_text(f'{{"hashed_password":  "{OLD}", "port":  1}}')
        (self.state / "running").write_text("x")
        self.task = self.state / "task.xml"
        self.task.write_text(TASK)
        line = {"step": "service", "v": 1, "kind": "task", "key": "nbserver", "before": None}
        (self.state / "record.jsonl").write_text(json.dumps(line) + "\n")

    def run(self, mode: str, before: str = "", *, secret: str = "", source: str = "host") -> str:
        """The code of the failure, or `done` and the codes of the events, in one run of the mode."""
        service = '$ServiceFolder = "$StateFolder\\service"; $CertificateFile = "$ServiceFolder\\certificate.pem"; '
        service += '$KeyFile = "$ServiceFolder\\key.pem"; $RotationFile = "$StateFolder\\rotation"; '
        service += '$SourceFile = "$ServiceFolder\\certificate.source"; $RequestFile = "$ServiceFolder\\certificate.cnf"; '
        service += '$ConfigurationFile = "$ServiceFolder\\jupyter_server_config.json"; '
        service += """$HashPattern = '"hashed_password":\\s+"([A-Za-z0-9:$=,+/.]+)"'; """
        settings = "$Settings.notebook | Add-Member -Force port 9999; $global:Files = 'now'; $global:Broken = $global:Cut = $false; "
        settings += f"$Settings | Add-Member -Force certificate ([pscustomobject]@{{ source = '{source}' }}); $Secrets.Clear(); "
        settings += f"$Secrets['notebook.password_hash'] = '{secret}'; "
        settings += f"$Run.Mode = '{mode}'; $Run.Id = 'r1'; $Run.Outcome = 'ok'; $Run.Changed = 0; "
        codes = (
            """@(Get-Said | ForEach-Object { [regex]::Match($_, '"code":"([^"]+)"').Groups[1].Value } | Where-Object { $_ }) -join ' '"""
        )
        call = f"[void](Get-Said); try {{ Invoke-Mode; 'done ' + ({codes}) }} catch {{ $f = Get-FailureField $_.Exception; if ($f.code -eq 'unexpected-error') {{ $f.text }} else {{ $f.code }} }}"
        (found,) = self.place.run(
            "\n".join([service, MAIN, SERVICE, TASKS, SERVICE[SERVICE.index("Add-Step") :], CHECK, settings, before, call])
        )[-1:]
        return found

    def history(self) -> list[str]:
        """What was asked for since the last call."""
        file = self.state / "history"
        found = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return found


@pytest.fixture
def host(place: Place) -> Host:
    return Host(place)


def test_restart_starts_the_task_again_as_it_is(host: Host) -> None:
    assert host.run("restart") == "done server-restarts server-proven"
    assert host.history() == ["stop", "register", "start"]
    assert host.task.read_text().replace('"', "'") == TASK.replace("old", "files of now"), "only the times of the files are new"


def test_it_stays_stopped_until_a_restart(host: Host) -> None:
    assert host.run("stop") == "done server-stops" and host.history() == ["disable", "stop"]
    assert not (host.state / "running").exists() and "<Enabled>false" in host.task.read_text()
    assert host.run("stop") == "done " and host.history() == []
    assert host.run("restart") == "done server-starts server-proven" and host.history() == ["stop", "register", "start"]
    assert "<Enabled>true" in host.task.read_text()


def test_undo_keeps_the_trigger_from_starting_it_again(host: Host) -> None:
    """Until the task is removed, which is after minutes if an environment is newer."""
    host.place.run("\n".join([TASKS, "Stop-RecordedTask"]))
    assert host.history() == ["disable", "stop"] and not (host.state / "running").exists()


def test_a_stop_that_was_cut_off_after_the_task_was_disabled_is_completed(host: Host) -> None:
    host.task.write_text(TASK.replace("true", "false"))
    assert host.run("stop") == "done server-stops" and host.history() == ["disable", "stop"]
    host.task.write_text(TASK)
    assert host.run("stop") == "done server-stays-stopped" and "<Enabled>false" in host.task.read_text()


def test_what_cannot_start_is_not_touched(host: Host) -> None:
    rotation = '{"v":1,"run":"r9","password":"%s","key":null}\n' % ("0" * 64)
    (host.state / "rotation").write_text(rotation)
    assert host.run("restart") == "rotation-incomplete-start"
    (host.state / "rotation").unlink()
    (host.state / "service" / "key.pem").unlink()
    assert host.run("restart") == "server-without-certificate"
    host.task.unlink()
    assert {host.run(mode) for mode in ("restart", "stop")} == {"server-not-installed"}
    (host.state / "record.jsonl").write_text("")
    host.task.write_text(TASK)
    assert {host.run(mode) for mode in ("restart", "stop")} == {"server-not-installed"}, "another one's task"
    assert host.history() == []


def test_only_the_password_is_replaced(host: Host) -> None:
    assert host.run("set-password", secret=NEW) == "done rotated-password server-restarts server-proven"
    assert host.configuration.read_text() == f'{{"hashed_password":  "{NEW}", "port":  1}}' and host.history() == [
        "stop",
        "register",
        "start",
    ]
    assert host.run("set-password", secret=NEW) == "done " and host.history() == []
    host.task.write_text(TASK)
    assert host.run("set-password", secret=NEW) == "done server-restarts server-proven", "after a run that was cut off"
    assert host.run("set-password", secret='a"b') == "password-hash-invalid"
    host.configuration.write_text("{}")
    assert host.run("set-password", secret=NEW) == "password-not-found"


def files(host: Host) -> list[str]:
    return [(host.state / "service" / name).read_text() for name in ("key.pem", "certificate.pem", "certificate.source")]


def test_key_and_certificate_are_replaced_alone(host: Host) -> None:
    before = host.configuration.read_text()
    assert host.run("rotate-certificate", NEW_CERTIFICATE) == "done rotated-key server-restarts server-proven"
    assert files(host) == ["new key", OTHER, "host"] and host.configuration.read_text() == before
    assert host.history() == ["stop", "register", "start"]


def test_a_certificate_that_does_not_start_is_switched_back(host: Host) -> None:
    before = files(host)
    assert host.run("rotate-certificate", f"{NEW_CERTIFICATE}$global:Broken = $true; ") == "certificate-switched-back-windows"
    assert files(host) == before and host.history() == ["stop", "register", "start"] * 2 and (host.state / "running").exists()
    assert host.run("rotate-certificate", f"{NEW_CERTIFICATE}$global:Cut = $true; ") == "cut"
    assert files(host) == before and host.history() == []


def test_a_certificate_from_elsewhere_is_refused(host: Host) -> None:
    assert {host.run("rotate-certificate", source=source) for source in ("workstation", "store", "request")} == {"certificate-not-of-host"}
    assert host.history() == []


KEY_OF_BACKUP = "-----BEGIN PRIVATE KEY-----\nof the backup\n-----END PRIVATE KEY-----\n"
SENT = f"$Secrets['certificate.chain'] = '{OTHER}'; $Secrets['certificate.key'] = '{KEY_OF_BACKUP}'; $global:Good = Get-ServerFingerprint; "


def test_the_key_and_certificate_of_a_backup_are_used(host: Host) -> None:
    before = host.configuration.read_text()
    assert host.run("restore-key", SENT) == "done restored-key server-restarts server-proven"
    assert files(host) == [KEY_OF_BACKUP, OTHER, "host"] and host.configuration.read_text() == before
    assert host.history() == ["stop", "register", "start"]
    assert host.run("restore-key", SENT) == "done " and host.history() == []
    host.task.write_text(TASK)
    assert host.run("restore-key", SENT) == "done server-restarts server-proven", "after a run that was cut off"


def test_a_key_of_a_backup_that_does_not_start_is_switched_back(host: Host) -> None:
    before = files(host)
    assert host.run("restore-key", f"{SENT}$global:Broken = $true; ") == "certificate-switched-back-windows"
    assert files(host) == before and (host.state / "running").exists()
    assert host.run("restore-key") == host.run("restore-key", SENT.replace("BEGIN PRIVATE", "x")) == "restored-key-not-sent"
    assert host.run("restore-key", SENT, source="store") == "certificate-not-of-host"
    host.task.unlink()
    assert host.run("restore-key", SENT) == "server-not-installed" and files(host) == before


def test_a_certificate_in_a_folder_that_others_could_read_stays(place: Place) -> None:
    """Only the access list is repaired: browsers and pins know the certificate."""
    step = f"$Steps.Clear(); {steps('certificate')}\n$Run.Step = 'certificate'; function Install-OwnCertificate {{ 'installed' }}; "
    step += "$Settings | Add-Member -Force certificate ([pscustomobject]@{ source = 'host' }); $ServiceFolder = \"$StateFolder\\service\"; "
    apply = "$Run.Differences = New-Object Collections.ArrayList; Add-Difference {code} 'x' 'y' 'z'; & $Steps[0].Apply; "
    assert place.run(step + apply.format(code="folder-access") + "$ServiceFolder") == [f"{place.run('$StateFolder')[0]}\\service"]
    assert place.run(step + apply.format(code="certificate-expires")) == ["installed"]


def test_a_restored_key_completes_no_upgrade(place: Place) -> None:
    """An upgrade was interrupted: the next apply completes it."""
    stand_ins = "function Wait-YoungServer { }; function Get-ServerCertificate { }; function Get-ServerFingerprint { 'a new certificate' }; function Compare-Refusal { }; function Test-OpenSwitch { $true }; "
    step = f"$Steps.Clear(); {steps('check')}\n{stand_ins}"
    test = "$Run.Mode = '{mode}'; $Run.Differences = New-Object Collections.ArrayList; & $Steps[0].Test; [string]$Run.Differences.Count; "
    assert place.run(step + test.format(mode="restore-key") + test.format(mode="apply")) == ["0", "1"]
