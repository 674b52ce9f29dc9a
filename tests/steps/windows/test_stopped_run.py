"""Ctrl-C at the worst moment: while the script reports a failure, or reverts what it changed only for a while."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver import __version__
from nbserver.render.body import Body
from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, read_part
from nbserver.run.envelope import Envelope
from nbserver.transports.psrp.transport import PsrpTransport
from nbserver.transports.transport import StopRequested
from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.certificate_site import PASSWORD, CertificateSite

SETTINGS: dict[str, Any] = {"host": "win1", "release": __version__, "reboot": "never", "scope": "machine", "skip": []}
# A pipeline cannot be stopped in such a call, only after it.
WAIT = "Write-StepProgress waiting 'Waiting'; [Threading.Thread]::Sleep(3000)"
FAILS = "Add-Step fails 'f' -Test { Add-Difference x 'x' 'a' 'b' } -Apply { %s throw (New-Failure broken 'no') }\n"
SLOW_REPORT = "$Plain = ${function:Get-FailureField}; function Get-FailureField($Failure) { %s; & $Plain $Failure }\n"
SLOW_END = "$Plain = ${function:Undo-Bracket}; function Undo-Bracket { if ($Run.Mode -eq 'apply') { %s }; & $Plain }\n"


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=True) as endpoint:
        yield endpoint


def script(*parts: str) -> Script:
    prelude = [read_part("ps_scripts", f"prelude/{name}") for name in PRELUDE["ps_scripts", "machine"]]
    main = read_part("ps_scripts", "main").replace("\nInvoke-Script\n", f"\n{parts[1]}Invoke-Script\n")
    body = Body.joined([*prelude, read_part("ps_scripts", "steps/machine/ie_esc"), parts[0], main], ("ie_esc", "fails"))
    return Script.joined(SETTINGS, head(SETTINGS, (), body), body)


@pytest.mark.parametrize(
    "parts",
    [(FAILS % f"{WAIT};", ""), (FAILS % "", SLOW_REPORT % WAIT), (FAILS % "", SLOW_END % WAIT)],
    ids=["while it fails", "while it reports the failure", "while it reverts its changes"],
)
def test_a_stopped_run_reverts_its_temporary_changes(
    windows_host: WindowsBox, endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: tuple[str, str]
) -> None:
    site, stop, heard = CertificateSite(tmp_path, windows_host, endpoint, capsys), threading.Event(), list[dict[str, Any]]()
    before = windows_host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"]
    transport = PsrpTransport(site.host, PASSWORD, stop)
    try:
        with pytest.raises(StopRequested):
            for line in transport.run(script(*parts).text, Envelope("apply", "run-1", "anna").lines()):
                heard.append(json.loads(line))
                if heard[-1]["event"] == "progress":
                    stop.set()
        last = heard[-1]["n"]
        heard += [json.loads(line) for line in transport.run(script(*parts).text, Envelope("events", "run-1", after=last).lines())]
    finally:
        transport.close()
        site.clean_up()
    assert {"step": "ie_esc", "event": "changed"}.items() <= next(one for one in heard if one["event"] == "changed").items()
    assert [event["n"] for event in heard] == list(range(1, len(heard) + 1)), heard
    assert "restored" in [event["event"] for event in heard]
    assert heard[-1]["event"] == "finished" and heard[-1]["outcome"] == ("stopped" if not parts[1] else "failed"), heard
    assert windows_host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"] == before
