"""Rotation on Windows: what is refused, what is replaced in which order, and that a rotation which was cut off is done again."""

from __future__ import annotations

import base64
import json

import pytest

from nbserver.render.step_files import read_part
from tests.authority import ec_key, pem
from tests.formats import validate
from tests.powershell.engine import host_path
from tests.steps.windows.place import PRIVATE, Place, place, session
from tests.workstation_certificate import CHAIN, LEAF, NAMES, SECOND

__all__ = ["place", "session"]
MAIN = read_part("ps_scripts", "main").partition("$ScriptText =")[0]
OLD, NEW = (f"argon2:$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${name}" for name in ("old", "new"))
# Stand-ins for the steps and for the server, which runs as long as there is a file.
STEPS = r"""
$Steps.Clear()
$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
function Stop-Server { Write-Output-Line stopped; Remove-SingleFile "$StateFolder\running" }
function Write-Output-Line([string]$Text) { [IO.File]::AppendAllText("$StateFolder\history", "$Text`n") }
Add-Step python 'p' -Test { if ($global:NoPython) { Add-Difference folder-missing '{path}' $null 'a folder' @{ path = 'P' } } } -Apply { }
Add-Step certificate 'c' -Test { } -Apply { Write-Output-Line certificate }
Add-Step notebook 'n' -Test { } -Apply {
    Write-Output-Line notebook
    Set-TextFile $ConfigurationFile '"hashed_password":  "@notebook.password_hash@"' 'notebook.password_hash'
    Add-Folder $WorkFolder $ServiceWrites
}
Add-Step service 's' -Test { } -Apply {
    if ($global:NoService) { throw (New-Failure no-service 'no service') }
    Write-Output-Line service
    Write-TextFile "$StateFolder\running" 'x'
}
Add-Step check 'k' -Test { } -Apply { Write-Output-Line check }
"""


class Host:
    """A host whose server runs with the password OLD and the certificate LEAF."""

    def __init__(self, place: Place) -> None:
        self.place, self.state = place, place.state
        place.set_access(self.state, PRIVATE)
        for folder in ("service", "work/ipython"):
            (self.state / folder).mkdir(parents=True)
        (self.state / "work" / "ipython" / "startup.py").write_text("evil")
        (self.state / "running").write_text("x")
        (self.state / "service" / "certificate.pem").write_text(pem(LEAF))
        (self.state / "service" / "key.pem").write_text("key")
        self.configuration = self.state / "service" / "jupyter_server_config.json"
        self.configuration.write_text(f'"hashed_password":  "{OLD}"')
        keys = {"step": "notebook", "v": 1, "before": None}
        lines = [{"kind": "file", "key": f"{host_path(self.state)}\\service\\jupyter_server_config.json", **keys}]
        lines.append({"kind": "folder", "key": f"{host_path(self.state)}\\work", **keys})
        (self.state / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self, mode: str, password: str, *, source: str = "host", chain: str = "", before: str = "", run: str = "r1") -> str:
        """The code of the failure, or `done` and the codes of the events, in one run of the mode."""
        service = '$ServiceFolder = "$StateFolder\\service"; $WorkFolder = "$StateFolder\\work"; $SetAsideFolder = "$StateFolder\\set-aside"; $SwitchFolder = "$StateFolder\\switch"; '
        files = (
            '$ConfigurationFile = "$ServiceFolder\\jupyter_server_config.json"; $CertificateFile = "$ServiceFolder\\certificate.pem"; '
            '$KeyFile = "$ServiceFolder\\key.pem"; $NewCertificateFile = "$ServiceFolder\\certificate-new.pem"; $RotationFile = "$StateFolder\\rotation"; '
        )
        secrets = f"$Secrets.Clear(); $Secrets['notebook.password_hash'] = '{password}'; "
        if chain:
            secrets += f"$Secrets['certificate.chain'] = $Utf8.GetString([Convert]::FromBase64String('{base64.b64encode(chain.encode()).decode()}')); "
        settings = f"$Settings | Add-Member -Force certificate ([pscustomobject]@{{ source = '{source}' }}); $Settings | Add-Member -Force host 'win1'; "
        settings += "$Settings.notebook | Add-Member -Force port 9999; "
        mode_lines = f"$Run.Mode = '{mode}'; $Run.Id = '{run}'; $Run.Outcome = 'ok'; $Run.Changed = 0; $global:NoPython = $false; $global:NoService = $false; "
        codes = (
            """@(Get-Said | ForEach-Object { [regex]::Match($_, '"code":"([^"]+)"').Groups[1].Value } | Where-Object { $_ }) -join ' '"""
        )
        call = f"[void](Get-Said); try {{ Invoke-Mode; 'done ' + ({codes}) }} catch {{ (Get-FailureField $_.Exception).code }}"
        (found,) = self.place.run("\n".join([service + files, MAIN, STEPS, settings, secrets, mode_lines, before, call]))[-1:]
        return found

    def history(self) -> list[str]:
        file = self.state / "history"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def host(place: Place) -> Host:
    return Host(place)


def test_everything_is_replaced_while_the_server_is_stopped(host: Host) -> None:
    assert host.run("rotate", NEW).split()[0] == "done"
    assert host.history() == ["stopped", "certificate", "notebook", "service", "check"] and (host.state / "running").exists()
    aside = host.state / "set-aside" / "r1"
    assert (aside / "work" / "ipython" / "startup.py").read_text() == "evil" and list((host.state / "work").iterdir()) == []
    assert host.place.access(aside) == host.place.access(aside.parent) == PRIVATE
    assert NEW in host.configuration.read_text() and not (host.state / "rotation").exists()


def test_what_evicts_nobody_is_refused_and_changes_nothing(host: Host) -> None:
    same = pem(*CHAIN)
    assert host.run("rotate", OLD) == "rotate-same-password"
    assert host.run("rotate", NEW, before="$global:NoPython = $true; ") == "rotate-needs-apply"
    assert host.run("rotate", NEW, source="workstation", chain=same) == "rotate-same-key"
    assert host.run("rotate", NEW, source="request", chain=same) == "rotate-same-key"
    assert host.run("rotate", NEW, source="request") == "rotate-without-certificate-sent"
    assert host.run("rotate", NEW, source="store", before="function Get-StoreCertificate { Get-ServerCertificate }; ") == "rotate-same-key"
    assert host.history() == [] and not (host.state / "rotation").exists() and OLD in host.configuration.read_text()
    assert not (host.state / "service" / "certificate-new.pem").exists()
    other = pem(SECOND.sign(ec_key().public_key(), NAMES))
    assert host.run("rotate", NEW, source="workstation", chain=other).split()[0] == "done" and host.history()[0] == "stopped"


def test_a_requested_key_that_the_service_could_read_evicts_nobody(host: Host) -> None:
    """An earlier release kept it where notebooks read: only the key of a request that is for administrators is new."""
    pair = "function Test-KeyPair([string]$Certificate, [string]$Key) { (Test-Path -LiteralPath $Key) -and [IO.File]::ReadAllText($Key) -eq 'new' }; "
    place = '$RequestedKeyFile = "$StateFolder\\request\\key-request.pem"; '
    other = pem(SECOND.sign(ec_key().public_key(), NAMES))
    (host.state / "service" / "key-request.pem").write_text("new")
    assert host.run("rotate", NEW, source="request", chain=other, before=pair + place) == "rotate-key-not-requested"
    assert host.history() == [] and not (host.state / "service" / "certificate-new.pem").exists()
    (host.state / "request").mkdir()
    (host.state / "request" / "key-request.pem").write_text("new")
    assert host.run("rotate", NEW, source="request", chain=other, before=pair + place).split()[0] == "done"


def test_one_that_was_cut_off_is_done_again_and_no_apply_comes_between(host: Host) -> None:
    (host.state / "switch").mkdir()  # an upgrade was cut off: the next one that fails would restore the former password
    (host.state / "switch" / "jupyter_server_config.json").write_text(f'"hashed_password":  "{OLD}"')
    assert host.run("rotate", NEW, before="$global:NoService = $true; ") == "no-service"
    assert not (host.state / "switch").exists()
    assert NEW in host.configuration.read_text() and not (host.state / "running").exists()
    validate("rotation", json.loads((host.state / "rotation").read_text()))
    assert host.run("apply", NEW) == "rotation-incomplete-apply"
    assert host.run("test", NEW) == "done rotation-incomplete"
    assert host.run("rotate", OLD, run="r2") == "rotate-same-password", "the one before the first attempt"
    assert host.run("rotate", NEW, run="r2", source="workstation", chain=pem(*CHAIN)) == "rotate-same-key"
    assert host.run("rotate", NEW, run="r3").split()[0] == "done" and (host.state / "running").exists()
    assert not (host.state / "rotation").exists() and (host.state / "set-aside" / "r3" / "work").is_dir()


def test_a_work_folder_that_is_a_link_is_not_followed(host: Host) -> None:
    (host.state / "work").rename(host.state / "elsewhere")
    (host.state / "work").symlink_to(host.state / "elsewhere")
    assert host.run("rotate", NEW, before="function Test-Link([string]$Path) { $Path -eq $WorkFolder }; ") == "link-in-path"
    assert (host.state / "elsewhere" / "ipython").exists() and not (host.state / "running").exists(), "the server stays stopped"
