"""The step takeover in the real engine: what it reports, what it refuses, and what adopt = true changes.

What is on the host is defined by stand-ins for the functions that find it. tests/stories/test_existing_hosts.py has the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nbserver.events.reader import parse
from tests.powershell.engine import EngineError, Session, prelude, require_engine, steps

PROGRAMS = r"C:\Windows\Fonts"  # a folder that exists
NOTHING = """
$Takeover.Reported = $false; $Run.Events = 0; $Run.Step = 'takeover'; $Run.Differences = New-Object Collections.ArrayList
function Test-Record { $false }
function Get-TaskXml { }
function Get-FirewallRule { }
function Test-Path { $false }
function Test-ForeignListener { $false }
function Get-RunningDependent { }
function Get-OtherPortRule { }
function Get-HidingPathEntry { }
function Get-EarlierProfile { }
"""
TASK = "function Get-TaskXml { '<Task><Principals><Principal><LogonType>S4U</LogonType></Principal></Principals></Task>' }\n"
PASSWORD = TASK.replace("S4U", "Password")
LOST = TASK + "function Get-FirewallRule { @{ Enabled = 'True' } }\nfunction Test-Path { $true }\n"
LISTENS = "function Test-ForeignListener { $true }\n"
NOBODY = LISTENS + "function Get-PortOwner { @{ Kind = 'nothing'; Text = ''; Process = $null; Services = @(); Tasks = @() } }\n"
SERVICE = (
    LISTENS
    + "function Get-PortOwner { @{ Kind = 'service'; Text = \"nginx.exe, process 7, service 'web'\"; Process = @{ Name = 'nginx.exe' };"
    " Services = @('web'); Tasks = @() } }\n"
)
NEEDED = SERVICE + "function Get-RunningDependent { 'mail'; 'report' }\n"
RULES = (
    "function Get-OtherPortRule { @{ Name = 'one'; DisplayName = 'One'; Alone = $true }; @{ Name = 'two'; DisplayName = 'Two'; Alone = $false } }\n"
    "function Get-HidingPathEntry { 'C:\\Python27' }\nfunction Get-EarlierProfile { 'C:\\users\\anna\\.ipython\\profile_nbserver' }\n"
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(
            f"$Programs = '{PROGRAMS}'; $MachineEnvironment = ''\n"
            f"{prelude('run', 'events', 'record', 'registry', 'files', 'tasks', 'firewall', 'earlier_servers')}\n"
            f"{steps('takeover')}\n$Programs = '{PROGRAMS}'"
        )
        yield opened


def look(session: Session, host: str, *, adopt: bool = False, mode: str = "test", skip: str = "", times: int = 1) -> tuple[Any, Any]:
    """The differences as [what, is, should], and the events, of as many Tests."""
    settings = {"adopt": adopt, "skip": skip.split(), "notebook": {"port": 9999, "directory": r"C:\notebooks"}}
    script = (
        f"$Settings = ConvertFrom-Json '{json.dumps(settings)}'; $Run.Mode = '{mode}'\n{NOTHING}{host}"
        f"for ($i = 0; $i -lt {times}; $i++) {{ $Run.Differences.Clear(); & $Steps[0].Test }}\n"
        "foreach ($one in $Run.Differences) { 'difference ' + (ConvertTo-Json -Compress @($one.what, $one.is, $one.should)) }\nGet-Said"
    )
    lines = session.run(script)
    events = [line for line in lines if not line.startswith("difference ")]
    assert all(parse(event) for event in events)
    return [json.loads(line[11:]) for line in lines if line.startswith("difference ")], [json.loads(event) for event in events]


def codes(events: Any) -> list[str]:
    assert all(event["event"] == "warning" for event in events)
    return [event["code"] for event in events]


def refused(session: Session, host: str, *, adopt: bool = False) -> str:
    with pytest.raises(EngineError) as error:
        look(session, host, adopt=adopt, mode="apply")
    session.run("Get-Said")
    return str(error.value)


def test_a_host_without_anything_before(session: Session) -> None:
    for mode in ("test", "apply"):
        assert look(session, "", mode=mode) == ([], [])


def test_a_lost_record_is_explained_and_refused(session: Session) -> None:
    differences, events = look(session, LOST)
    assert [found[0] for found in differences] == ["scheduled task nbserver", "firewall rule nbserver", PROGRAMS]
    assert all(found[2] is None for found in differences)
    assert codes(events) == ["earlier-task", "earlier-rule", "earlier-folder", "apply-will-refuse"]
    names = f"scheduled task nbserver, firewall rule nbserver, {PROGRAMS}"
    assert events[-1]["text"].startswith(
        f"nbserver apply will fail on this host: the notebook server conflicts with the following on this host: {names}. Remove these items, or"
    )
    text = refused(session, LOST)
    assert (
        names in text and "or set adopt = true in the inventory to replace them (undo restores them), then run nbserver apply again" in text
    )


def test_a_lost_record_is_adopted(session: Session) -> None:
    for mode in ("test", "apply"):
        differences, events = look(session, LOST, adopt=True, mode=mode)
        assert [found[0] for found in differences] == ["scheduled task nbserver", "firewall rule nbserver"]
        assert codes(events) == ["adopted-folder"]


def test_a_rule_does_not_matter_if_the_firewall_is_skipped(session: Session) -> None:
    assert [found[0] for found in look(session, LOST + RULES, adopt=True, skip="firewall")[0]] == ["scheduled task nbserver", "PATH"]


def test_a_program_on_the_port_is_named_and_adopted(session: Session) -> None:
    named = "nginx.exe, process 7, service 'web'"
    differences, events = look(session, SERVICE)
    assert differences == [["TCP port 9999", named, "free"]] and codes(events) == ["port-taken-by-program", "apply-will-refuse"]
    assert events[0]["text"].startswith(f"TCP port 9999 is used by another program ({named}). Stop it, or choose another notebook.port")
    assert "on this host: TCP port 9999. Remove these items, or set adopt = true" in refused(session, SERVICE)
    assert look(session, SERVICE, adopt=True, mode="apply") == ([["TCP port 9999", named, "free"]], [])


@pytest.mark.parametrize(
    ("host", "code", "name"),
    [
        (PASSWORD, "task-with-password", "scheduled task nbserver"),
        (NOBODY, "port-taken-unknown", "TCP port 9999"),
        (NEEDED, "port-taken-by-needed-service", "TCP port 9999"),
    ],
)
def test_what_a_person_must_do_is_refused_with_adopt_as_well(session: Session, host: str, code: str, name: str) -> None:
    for adopt in (False, True):
        differences, events = look(session, host, adopt=adopt)
        assert len(differences) == 1 and codes(events) == [code, "apply-will-refuse"]
        assert f"Stop or remove {name}, which adopt = true cannot replace, then run nbserver apply again" in refused(
            session, host, adopt=adopt
        )
    if host == NEEDED:
        assert "that other running services need: mail, report. Stop this service and the services that need it, or" in events[0]["text"]


def test_what_does_no_harm_is_kept_and_reported_once(session: Session) -> None:
    expected = ["port-rule-kept", "ports-rule-kept", "path-entry-kept", "earlier-profile"]
    for times in (1, 3):
        differences, events = look(session, RULES, times=times)
        assert differences == [] and codes(events) == expected
    assert codes(look(session, LOST, times=3)[1]) == ["earlier-task", "earlier-rule", "earlier-folder", "apply-will-refuse"]


def test_with_adopt_a_rule_for_this_port_alone_and_the_path_entry_go(session: Session) -> None:
    differences, events = look(session, RULES, adopt=True)
    assert differences == [['firewall rule "One" (one)', "enabled", "disabled"], ["PATH", "C:\\Python27", None]]
    assert codes(events) == ["ports-rule-kept", "earlier-profile"]


OWN = [
    ("function Get-ServerCertificate { 'ours' }; function Get-ServerFingerprint { 'ours' }", True),
    ("function Get-PortProcess { @{ ExecutablePath = 'C:\\Windows\\Fonts\\env\\python.exe' } }", True),
    ("function Get-PortProcess { @{ ExecutablePath = 'C:\\other\\python.exe' } }", False),
    ("function Test-DeployedPort { $true }; function Test-TaskRunning { $true }", True),
    ("function Test-DeployedPort { $true }; function Test-TaskRunning { $false }", False),
    ("function Test-DeployedPort { $false }; function Test-TaskRunning { $true }", False),
    ("function Test-Record { $false }; function Get-ServerCertificate { 'ours' }; function Get-ServerFingerprint { 'ours' }", False),
]


@pytest.mark.parametrize(("host", "own"), OWN, ids=range(len(OWN)))
def test_our_own_server_on_the_port(session: Session, host: str, own: bool) -> None:
    settings = '$Settings = ConvertFrom-Json \'{"notebook": {"port": 9999}}\'\n'
    plain = (
        "function Test-Record { $true }; function Get-ServerCertificate { }; function Get-ServerFingerprint { 'other' }; "
        "function Get-Fingerprint($Certificate) { $Certificate }; function Get-PortProcess { }\n"
    )
    assert session.run(f"{settings}{plain}{host}\n[string](Test-OwnListener)") == [str(own)]
