"""The script that a person with a real Windows host runs: it collects everything in one file, whatever fails."""

from __future__ import annotations

from pathlib import Path

from tests.checkout import CHECKOUT
from tests.powershell.engine import Session, host_path, require_engine

SCRIPT = CHECKOUT / "tools/first-contact.ps1"
STAND_INS = """
function schtasks.exe { "SID of $args" }
function icacls.exe { "access of $args" }
function Export-ScheduledTask { throw 'no such task' }
function Get-ScheduledTask { [pscustomobject]@{ TaskName = 'nbserver'; State = 'Running'; Other = 1 } }
function Get-ScheduledTaskInfo { [pscustomobject]@{ LastRunTime = 0; LastTaskResult = 267009; NumberOfMissedRuns = 0 } }
function Get-NetFirewallRule { [pscustomobject]@{ Name = 'nbserver-9999'; DisplayName = 'x'; Enabled = 'True'; Direction = 'Inbound'
    Action = 'Allow'; Profile = 'Any'; PolicyStoreSource = 'PersistentStore' } }
function Get-NetFirewallPortFilter { [pscustomobject]@{ Protocol = 'TCP'; LocalPort = 9999 } }
function Get-NetFirewallAddressFilter { [pscustomobject]@{ RemoteAddress = 'Any' } }
"""


def test_one_file_has_it_all_even_if_a_command_fails(tmp_path: Path) -> None:
    require_engine()
    with Session() as session:
        session.run(
            f"{STAND_INS}\n$file = '{host_path(tmp_path)}\\out.txt'\n& ([scriptblock]::Create(@'\n{SCRIPT.read_text('ascii')}\n'@)) $file"
        )
    text = (tmp_path / "out.txt").read_text("utf-8")
    sections = [line.strip("= ") for line in text.splitlines() if line.startswith("====")]
    assert sections[:4] == ["Windows and PowerShell", "schtasks /showsid /tn nbserver", "Export-ScheduledTask", "Get-ScheduledTask"]
    assert len([name for name in sections if name.startswith("icacls C:")]) == 4 and sections[-1] == "Get-NetFirewallRule"
    for words in ("SID of /showsid /tn nbserver", "failed: no such task", "267009", "access of C:", "LocalPort", "9999", "elevated: "):
        assert words in text
