"""The rule nbserver, as it is found: what narrows it beyond its port goes, and comes back with undo. Rules are stood in for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkout import TESTS
from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine, steps

STAND_INS = TESTS / "boxes" / "stand_ins"
FILE = r"C:\nbserver-test\firewall\nbserver.json"
RULE = {
    "Name": "nbserver",
    "DisplayName": "old",
    "Description": "",
    "Group": "",
    "DisplayGroup": "",
    "Enabled": "True",
    "Direction": "Inbound",
    "Action": "Allow",
    "Profile": "Any",
    "Protocol": "TCP",
    "LocalPort": ["9999"],
    "RemoteAddress": ["LocalSubnet"],
}
FILTERS = {
    "Program": r"C:\Python27\python.exe",
    "Service": "notebooks",
    "LocalAddress": ["192.0.2.0/255.255.255.0", "192.0.2.7"],
    "RemotePort": ["1024-65535", "80"],
    "InterfaceType": "Wired",
    "InterfaceAlias": ["Ethernet"],
    "LocalUser": "D:(A;;CC;;;BA)",
    "RemoteUser": "D:(A;;CC;;;BU)",
    "RemoteMachine": "D:(A;;CC;;;SY)",
    "Authentication": "Required",
    "Encryption": "Required",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    require_engine()
    record = host_path(tmp_path_factory.mktemp("firewall") / "record.jsonl")
    with Session() as opened:
        opened.keep("\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("state", "net_security", "services")))
        opened.keep(
            prelude(
                "run",
                "events",
                "envelope",
                "part_data",
                "record",
                "registry",
                "firewall",
                "port_rules",
                "unused_programs",
                "dropped_settings",
            )
        )
        opened.keep(steps("firewall"))
        opened.keep(
            f'$RecordFile = \'{record}\'; $Settings = ConvertFrom-Json \'{{"skip": [], "notebook": {{"port": 9999}}, "firewall": {{"remote_addresses": ["LocalSubnet"]}}}}\''
        )
        yield opened


@pytest.fixture(autouse=True)
def no_rule(session: Session) -> Iterator[None]:
    yield
    session.run(f"foreach ($file in '{FILE}', $RecordFile) {{ if (Test-Path -LiteralPath $file) {{ [IO.File]::Delete($file) }} }}")


def write(session: Session, **filters: Any) -> None:
    session.run(
        f"[void](Get-StandInFolder 'firewall'); [IO.File]::WriteAllText('{FILE}', [string]@($input)[0])", [json.dumps({**RULE, **filters})]
    )


def read(session: Session) -> Any:
    return json.loads("".join(session.run(f"[IO.File]::ReadAllText('{FILE}')")))


def differences(session: Session) -> list[str]:
    said = session.run(
        '$Run.Differences = New-Object Collections.ArrayList; & $Steps[0].Test; foreach ($one in $Run.Differences) { "$($one.what): $($one.is)" }'
    )
    return [text.removeprefix("firewall rule nbserver, ") for text in said]


def test_a_rule_without_filters_is_as_it_should_be(session: Session) -> None:
    write(session)
    assert differences(session) == []


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_each_filter_is_seen_and_put_back(session: Session, name: str) -> None:
    """It would keep the port closed, and the check asks from the host itself, which no rule stops."""
    write(session, **{name: FILTERS[name]})
    before = read(session)
    (told,) = differences(session)
    assert told.startswith(f"{name}: ")
    session.run("& $Steps[0].Apply")
    assert differences(session) == [] and name not in read(session)
    session.run("foreach ($line in @(Read-Record)) { [void](Undo-Line $line) }")
    assert read(session) == before


def test_all_of_them(session: Session) -> None:
    write(session, **FILTERS, Action="Block", LocalPort=["80"])
    before = read(session)
    assert len(differences(session)) == len(FILTERS) + 2
    session.run("& $Steps[0].Apply")
    assert differences(session) == [] and not set(FILTERS) & set(read(session))
    session.run("foreach ($line in @(Read-Record)) { [void](Undo-Line $line) }")
    assert read(session) == before


def test_the_display_name_has_the_port_of_today(session: Session) -> None:
    """Unless the rule was adopted: then it keeps its own."""
    write(session, DisplayName="nbserver: notebook server, TCP 8888")
    before = read(session)
    assert differences(session) == ["DisplayName: nbserver: notebook server, TCP 8888"]
    session.run("& $Steps[0].Apply")
    assert differences(session) == [] and read(session)["DisplayName"] == "nbserver: notebook server, TCP 9999"
    session.run("foreach ($line in @(Read-Record)) { [void](Undo-Line $line) }")
    assert read(session) == before
    write(session, LocalPort=["8888"])
    session.run("& $Steps[0].Apply")
    assert read(session)["DisplayName"] == "old"


def test_a_rule_that_was_disabled_for_an_earlier_port_is_enabled_again(session: Session) -> None:
    write(session)
    other = FILE.replace("nbserver.json", "other.json")
    rule = {**RULE, "Name": "other", "Enabled": "False"}
    line = json.dumps({"v": 1, "step": "takeover", "kind": "firewall_rule_state", "key": "other", "before": "True"})
    put = f"$lines = @($input); [IO.File]::WriteAllText('{other}', $lines[0]); [IO.File]::WriteAllText($RecordFile, $lines[1])"
    session.run(put, [json.dumps({**rule, "LocalPort": ["9000-9999"]}), line])
    assert differences(session) == []
    session.run(put, [json.dumps({**rule, "LocalPort": ["8888"]}), line])
    assert differences(session) == ["firewall rule other, which nbserver disabled for an earlier notebook port: disabled"]
    session.run("& $Steps[0].Apply")
    assert differences(session) == []
    assert session.run(f"(Get-NetFirewallRule -Name other).Enabled; [IO.File]::Delete('{other}')") == ["True"]


def test_a_service_that_does_not_run_is_named_and_nothing_is_forgotten(session: Session) -> None:
    """Windows then answers as if there were no rules; undo must not believe it."""
    session.run("& $Steps[0].Apply")
    stopped = r"C:\nbserver-test\MpsSvc.txt"
    session.run(f"[IO.File]::WriteAllText('{stopped}', 'Stopped')")
    try:
        for script in ("& $Steps[0].Test", "foreach ($line in @(Read-Record)) { [void](Undo-Line $line) }"):
            with pytest.raises(EngineError) as error:
                session.run(script)
            assert "the Windows firewall service (MpsSvc) is not running" in str(error.value)
            assert ('skip = ["firewall"]' in str(error.value)) == ("Test" in script)
        assert session.run("[string]@(Read-Record).Count; [string]@(Get-DroppedLine).Count") == ["1", "0"]
        skipped = '$Settings.skip = @("firewall"); '
        assert session.run(skipped + "[string]@(Get-DroppedLine).Count") == ["0"], "it is restored when the service runs"
    finally:
        session.run(f"[IO.File]::Delete('{stopped}')")
    assert session.run(skipped + "[string]@(Get-DroppedLine).Count; $Settings.skip = @()") == ["1"]


@pytest.mark.parametrize("kind", ["firewall_rule", "firewall_rule_state"])
def test_a_rule_that_cannot_be_read_is_not_taken_for_one_that_is_missing(session: Session, kind: str) -> None:
    """Undo would forget it, and the port would stay open."""
    write(session)
    line = {"v": 1, "step": "firewall", "kind": kind, "key": "nbserver", "before": None}
    with pytest.raises(EngineError, match="Access is denied"):
        session.run(
            "function Get-NetFirewallRule { [CmdletBinding()] param($Name) Write-Error 'Access is denied.' -Category PermissionDenied }\n"
            "[IO.File]::WriteAllText($RecordFile, @($input)[0]); Undo-Line @(Read-Record)[0] | Out-Null",
            [json.dumps(line)],
        )
    assert session.run("[string]@(Read-Record).Count") == ["1"]


DOMAIN, PRIVATE, PUBLIC = 2, 1, 0


@pytest.mark.parametrize(
    ("value", "networks", "warnings"),
    [
        (None, [PUBLIC], 0),
        (1, [PUBLIC], 0),
        (0, [PUBLIC], 1),
        (0, [DOMAIN, PUBLIC], 1),
        (0, [], 1),
        (0, None, 1),
        (0, [DOMAIN], 0),
        (0, [PRIVATE], 0),
    ],
)
def test_a_policy_that_ignores_local_rules_is_named_once(
    session: Session, value: int | None, networks: list[int] | None, warnings: int
) -> None:
    """Baselines ignore them in public networks only: in the domain's, the rule counts. None: Windows does not say which there are."""
    write(session)
    made = (
        "throw 'Invalid class'"
        if networks is None
        else "; ".join(f"New-Object PSObject -Property @{{ NetworkCategory = [uint32]{one} }}" for one in networks)
    )
    session.run(f"function global:Get-CimInstance {{ [CmdletBinding()] param($Namespace, $ClassName) {made} }}")
    key = r"HKCU:\Software\nbserver-test-policy"
    put = f"Set-ItemProperty -LiteralPath '{key}\\PublicProfile' -Name AllowLocalPolicyMerge -Value {value} -Type DWord; "
    said = session.run(
        f"[void](New-Item -Path '{key}\\PublicProfile' -Force); {put if value is not None else ''}$FirewallPolicy = '{key}'; "
        "$LocalRules.Reported = $false; $Run.Differences = New-Object Collections.ArrayList; [void](Get-Said); "
        f"& $Steps[0].Test; & $Steps[0].Test; Get-Said; Remove-Item -LiteralPath '{key}' -Recurse"
    )
    events = [json.loads(event) for event in said]
    assert [(event["code"], event["values"]) for event in events] == [
        ("local-rules-ignored", {"profiles": "PublicProfile", "port": 9999})
    ] * warnings
    assert all("has no effect in networks with this profile." in event["text"] for event in events)
    session.run("Remove-Item -LiteralPath function:Get-CimInstance")


def test_the_record_of_an_earlier_release_is_put_back(session: Session) -> None:
    """It knows nothing of filters: those of the rule stay as they are."""
    write(session, Program=FILTERS["Program"], LocalPort=["8888"])
    kept = {key: RULE[key] for key in ("Enabled", "Direction", "Action", "Profile", "Protocol", "LocalPort", "RemoteAddress")}
    line = {"v": 1, "step": "firewall", "kind": "firewall_rule", "key": "nbserver", "before": kept}
    session.run("Undo-Line (ConvertFrom-Json @($input)[0]) | Out-Null", [json.dumps(line)])
    assert (read(session)["LocalPort"], read(session)["Program"]) == (["9999"], FILTERS["Program"])
    gone = f"[IO.File]::Delete('{FILE}'); Undo-Line (ConvertFrom-Json @($input)[0]) | Out-Null; [string](Test-Path -LiteralPath '{FILE}')"
    assert session.run(gone, [json.dumps(line)]) == ["False"], "somebody has removed the rule: undo can finish"


def test_a_new_rule_is_made_with_what_it_needs(session: Session) -> None:
    assert differences(session) == ["firewall rule nbserver: "]
    session.run("& $Steps[0].Apply")
    assert differences(session) == [] and not set(FILTERS) & set(read(session))
    session.run("foreach ($line in @(Read-Record)) { [void](Undo-Line $line) }")
    assert session.run(f"[string](Test-Path -LiteralPath '{FILE}')") == ["False"]
