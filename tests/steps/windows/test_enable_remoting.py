"""ps_scripts/enable-remoting.ps1, with stand-ins for what Wine lacks: WinRM, its listener, certificates, and the firewall."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.checkout import CHECKOUT
from tests.powershell.engine import Session, require_engine

SCRIPT = CHECKOUT / "ps_scripts/enable-remoting.ps1"
STAND_INS = r"""
$global:Did = New-Object Collections.Generic.List[string]
$global:State = @{ Listeners = @(); Rule = $null; Running = 'Stopped'; Store = @{}; Enabled = 'True'; Denied = '' }
function Did([string]$What) { $global:Did.Add($What) }
function Get-Service { [pscustomobject]@{ Status = $global:State.Running } }
function Get-PSSessionConfiguration {
    $sddl = "O:NSG:BAD:P$($global:State.Denied)(A;;GA;;;BA)(A;;GA;;;RM)S:P(AU;FA;GA;;;WD)(AU;SA;GXGW;;;WD)"
    [pscustomobject]@{ Name = 'Microsoft.PowerShell'; Enabled = $global:State.Enabled; SecurityDescriptorSddl = $sddl }
}
function Enable-PSRemoting {
    param([switch]$Force, [switch]$SkipNetworkProfileCheck)
    Did 'remoting'; $global:State.Running = 'Running'; $global:State.Enabled = 'True'; $global:State.Denied = ''
    Add-Listener 'HTTP' ''
}
function Add-Listener([string]$Transport, [string]$Thumbprint) {
    $global:State.Listeners += [pscustomobject]@{ Address = '*'; Transport = $Transport; CertificateThumbprint = $Thumbprint }
}
function Find-Listener($Selectors) {
    $found = @($global:State.Listeners | Where-Object { $_.Transport -eq $Selectors.Transport -and $_.Address -eq $Selectors.Address })
    # As with WinRM, this ends the caller, whatever its -ErrorAction is.
    if (-not $found.Count) { throw 'The service cannot find the resource identified by the resource URI and selectors.' }
    $found
}
function New-SelfSignedCertificate {
    param($DnsName, $CertStoreLocation)
    Did "certificate $($DnsName -join ',') $CertStoreLocation"
    $made = [pscustomobject]@{ Thumbprint = 'AB' * 20; RawData = [byte[]](1, 2, 3); HasPrivateKey = $true }
    $global:State.Store["$CertStoreLocation\$($made.Thumbprint)"] = $made
    $made
}
function Get-Item { param($LiteralPath) if ($global:State.Store[$LiteralPath]) { $global:State.Store[$LiteralPath] } }
function Get-WSManInstance {
    [CmdletBinding()]
    param($ResourceURI, $SelectorSet, [switch]$Enumerate)
    if ($Enumerate) { $global:State.Listeners } else { Find-Listener $SelectorSet }
}
function New-WSManInstance {
    param($ResourceURI, $SelectorSet, $ValueSet)
    Did "listener $ResourceURI $($SelectorSet.Transport) $($SelectorSet.Address)"
    Add-Listener $SelectorSet.Transport $ValueSet.CertificateThumbprint
}
function Set-WSManInstance {
    param($ResourceURI, $SelectorSet, $ValueSet)
    Did 'listener changed'; (Find-Listener $SelectorSet).CertificateThumbprint = $ValueSet.CertificateThumbprint
}
function Get-NetFirewallRule { param($Name) $global:State.Rule }
function New-NetFirewallRule {
    param($Name, $DisplayName, $Direction, $Action, $Protocol, $LocalPort, $RemoteAddress)
    Did "rule $Name $Direction $Action $Protocol $LocalPort $($RemoteAddress -join '+')"; $global:State.Rule = $RemoteAddress
}
function Set-NetFirewallRule {
    param($Name, $Enabled, $Direction, $Action, $Protocol, $LocalPort, $RemoteAddress)
    if ($RemoteAddress -and "$RemoteAddress" -cne "$($global:State.Rule)") { Did "rule changed $RemoteAddress"; $global:State.Rule = $RemoteAddress }
}
"""
PRINT = "SHA256:" + hashlib.sha256(bytes([1, 2, 3])).hexdigest().upper()


@pytest.fixture
def session() -> Iterator[Session]:
    require_engine()
    with Session() as made:
        made.keep(STAND_INS)
        yield made


def run(session: Session, arguments: str = "") -> tuple[list[str], list[str]]:
    """What the script puts out, and what it changed."""
    text = SCRIPT.read_text("ascii")
    said = session.run(f"$global:Did.Clear()\n& ([scriptblock]::Create(@'\n{text}\n'@)) {arguments}")
    return said, session.run("$global:Did")


def test_a_second_run_changes_nothing_and_prints_the_same(session: Session) -> None:
    said, did = run(session, "-Name win1.example.com,WIN1.example.com -RemoteAddress '192.0.2.10,192.0.2.16/28'")
    assert said[-1] == PRINT
    assert did[0] == "remoting" and did[1].startswith("certificate ") and did[1].count("win1.example.com") == 1
    assert did[2:] == [
        "listener winrm/config/Listener HTTPS *",
        "rule nbserver-winrm-https Inbound Allow TCP 5986 192.0.2.10+192.0.2.16/28",
    ]
    again, did = run(session, "-RemoteAddress '192.0.2.10,192.0.2.16/28'")
    assert (again[-1], did) == (PRINT, [])
    assert run(session, "-RemoteAddress 192.0.2.11")[1] == ["rule changed 192.0.2.11"]
    assert run(session)[1] == [], "who only wants the fingerprint locks nobody out"


@pytest.mark.parametrize("disabled", ["Denied = '(D;;GA;;;NU)'", "Enabled = 'False'"])
def test_remoting_that_was_disabled_is_enabled_again(session: Session, disabled: str) -> None:
    """Disable-PSRemoting, by which the script says to undo it, leaves the service running and the endpoint registered."""
    run(session)
    session.run(f"$global:State.{disabled}")
    assert run(session)[1] == ["remoting"]
    assert run(session)[1] == []


def test_nobody_outside_the_subnet_may_connect_by_default(session: Session) -> None:
    assert run(session)[1][-1].endswith(" LocalSubnet")


def test_a_listener_without_its_certificate_gets_another_one(session: Session) -> None:
    session.run("Add-Listener 'HTTPS' 'CD CD'; $global:State.Running = 'Running'")
    said, did = run(session)
    assert [line.split()[0] for line in did] == ["certificate", "listener", "rule"] and did[1] == "listener changed"
    assert said[-1] == PRINT


def test_the_listener_of_somebody_else_is_kept(session: Session) -> None:
    session.run(
        "Add-Listener 'HTTPS' ('cd ' * 20); $global:State.Running = 'Running'\n"
        "$global:State.Store['Cert:\\LocalMachine\\My\\' + 'cd' * 20] = "
        "[pscustomobject]@{ Thumbprint = 'x'; RawData = [byte[]](9); HasPrivateKey = $true }"
    )
    said, did = run(session)
    assert said[-1] == "SHA256:" + hashlib.sha256(bytes([9])).hexdigest().upper()
    assert [line.split()[0] for line in did] == ["rule"]
