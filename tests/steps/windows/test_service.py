"""The scheduled task of the step service: what is written is what is compared, and each property that differs is reported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.powershell.engine import Session, prelude, require_engine, steps

SETTINGS = (
    '$Settings = ConvertFrom-Json \'{"scope": "machine", "skip": []}\'; $ConfigurationFile = $StarterFile = $CertificateFile = "C:\\none"\n'
)
STANDINS = """
function Get-EnvironmentProgram([string]$Name) { "C:\\R&D <1>\\$Name" }
function Get-ServerArgument { '-I', 'C:\\a b\\serve.py' }
function Get-LockMark { 'C:\\no environment\\nbserver.lock' }
function Test-TaskRunning { $true }
$Run.Differences = New-Object Collections.ArrayList
"""
LOOK = 'function Get-TaskXml { $xml }; Compare-ServiceTask; foreach ($one in $Run.Differences) { "$($one.what): $($one.is)" }'


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        files = prelude("run", "events", "envelope", "record", "files", "server_command", "programs", "tasks")
        opened.keep(f"{SETTINGS}{files}\n{steps('service')}")
        yield opened


def test_the_task_that_is_written_has_no_difference(session: Session) -> None:
    assert session.run(f"{STANDINS}$xml = Get-ServiceXml\n{LOOK}") == []


def test_each_property_that_differs_is_reported(session: Session) -> None:
    change = "$xml = (Get-ServiceXml).Replace('S-1-5-19', 'S-1-5-18').Replace('<Command>', '<Command>x')\n"
    assert session.run(f"{STANDINS}{change}{LOOK}") == [
        "scheduled task nbserver, Principals/Principal/UserId: S-1-5-18",
        r"scheduled task nbserver, Actions/Exec/Command: xC:\R&D <1>\python.exe",
    ]


def test_a_missing_element_means_what_windows_assumes(session: Session) -> None:
    change = "$xml = (Get-ServiceXml).Replace('<RunLevel>LeastPrivilege</RunLevel>', '').Replace('<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>', '')\n"
    assert session.run(f"{STANDINS}{change}{LOOK}") == ["scheduled task nbserver, Settings/ExecutionTimeLimit: P3D"]


def test_a_task_that_is_missing_or_does_not_run_is_a_difference(session: Session) -> None:
    assert session.run(f"{STANDINS}$xml = $null\n{LOOK}") == ["scheduled task nbserver: "]
    stopped = "function Test-TaskRunning { $false }\n$xml = Get-ServiceXml\n"
    assert session.run(f"{STANDINS}{stopped}{LOOK}") == ["scheduled task nbserver: not running"]
