"""A Windows service of another program: disabled, and by undo started again as it was, with its delay."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.formats import validate
from tests.powershell.engine import Session, host_path, prelude, require_engine

NAME = f"nbserver-test-{os.getpid()}"
KEY = rf"HKLM:\SYSTEM\CurrentControlSet\Services\{NAME}"
# Set-Service as in Windows PowerShell: it has no delayed start, and what it sets is not delayed.
SERVICE = f"""
$Kept = @{{ Name = '{NAME}'; StartMode = 'Auto'; State = 'Running' }}
function Get-CimInstance {{ New-Object PSObject -Property $Kept }}
function Set-Service($Name, $StartupType, $Status) {{
    if ($Status) {{ $Kept.State = $Status; return }}
    $Kept.StartMode = $StartupType -replace 'Automatic', 'Auto'
    Set-ItemProperty -LiteralPath '{KEY}' -Name DelayedAutostart -Value 0
}}
function Stop-Service {{ $Kept.State = 'Stopped' }}
function Get-State {{ "$($Kept.StartMode) $($Kept.State) $((Get-ItemProperty '{KEY}').DelayedAutostart)" }}
"""


@pytest.mark.parametrize("delayed", [0, 1])
def test_a_delayed_start_stays_delayed(tmp_path: Path, delayed: int) -> None:
    require_engine()
    state = host_path(tmp_path)
    settings = """$Settings = ConvertFrom-Json '{"scope": "machine", "skip": []}'; """
    with Session() as session:
        session.keep(settings + prelude("run", "events", "envelope", "part_data", "record", "registry", "services") + SERVICE)
        session.keep(f"$StateFolder = '{state}'; $RecordFile = '{state}\\record.jsonl'; $Run.Step = 'takeover'")
        session.run(
            f"[void](New-Item -Force '{KEY}'); [void](New-ItemProperty '{KEY}' -Name DelayedAutostart -Value {delayed} -PropertyType DWord)"
        )
        try:
            assert session.run(f"Disable-Service '{NAME}'; Get-State") == ["Disabled Stopped 0"]
            (line,) = [json.loads(text) for text in (tmp_path / "record.jsonl").read_text("utf-8").splitlines()]
            validate("record", line)
            assert line["before"] == {"StartMode": "Auto", "State": "Running", **({"Delayed": True} if delayed else {})}
            restore = "foreach ($line in @(Read-Record)) { & $Restore.service $line.key $line.before }; Get-State"
            assert session.run(restore) == [f"Auto Running {delayed}"]
        finally:
            session.run(f"Remove-Item '{KEY}'")
