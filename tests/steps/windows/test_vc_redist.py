"""The Visual C++ runtime: what counts as installed, on the real registry. Its installer is in test_installers.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.powershell.engine import Session, prelude, require_engine, steps

ARCHITECTURE = f"test-{os.getpid()}"  # other tests have the real keys
KEY = rf"Microsoft\VisualStudio\14.0\VC\Runtimes\{ARCHITECTURE}"
VIEWS = (rf"HKLM:\SOFTWARE\{KEY}", rf"HKLM:\SOFTWARE\Wow6432Node\{KEY}")
SETTINGS = (
    f'$Settings = ConvertFrom-Json \'{{"scope": "machine", "skip": [], "architecture": "{ARCHITECTURE}", '
    '"vc_redist": {"version": "14.44.35211.0", "url": "https://x.example.com/vc.exe", "sha256": "%s"}}\'; ' % ("89ab" * 16)
)
TEST = "$Run.Differences = New-Object Collections.ArrayList; & $Steps[0].Test; @($Run.Differences | ForEach-Object { \"$($_.is) -> $($_.should)\" }) -join ' '"
# Programs of Wine have no version: the stand-in for Get-FileVersion says which one a file has.
FILE = "$VcRuntimeFile = 'C:\\windows\\system32\\kernel32.dll'; function Get-FileVersion {{ '{version}' }}; "
OPENSSL = "function Get-OpenSsl {{ 'C:\\windows\\system32\\cmd.exe' }}; function Invoke-OpenSsl {{ {does} }}; "
NONE = "$VcRuntimeFile = 'C:\\none.dll'; "


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        files = prelude(
            "run", "events", "envelope", "part_data", "record", "registry", "downloads", "installers", "programs", "openssl", "bundles"
        )
        opened.keep(f"{SETTINGS}\n{files}\n{steps('vc_redist', 'openssl')}")
        yield opened
        for view in VIEWS:
            opened.run(f"if (Test-Path '{view}') {{ Remove-Item '{view}' }}")


def differences(
    session: Session, *views: str | None, before: str = NONE + OPENSSL.format(does="throw 'never'").replace("cmd.exe", "none.exe")
) -> str:
    """What the step's Test finds where the views of the registry have these versions."""
    for view, version in zip(VIEWS, (*views, None, None), strict=False):
        session.run(f"if (Test-Path '{view}') {{ Remove-Item '{view}' }}")
        if version is None:
            continue
        values = dict(zip(("Major", "Minor", "Bld"), version.split("."), strict=True), Installed="1")
        make = "".join(f"[void](New-ItemProperty -LiteralPath '{view}' -Name {name} -Value {value}); " for name, value in values.items())
        session.run(f"[void](New-Item -Force -Path '{view}'); {make}")
    (found,) = session.run(before + TEST)
    return found


NEW, OLD = "14.44.35211", "14.40.1"


@pytest.mark.parametrize("views", [(NEW, None), (None, NEW), (OLD, NEW), (NEW, OLD)])
def test_the_best_view_of_the_registry_counts(session: Session, views: tuple[str | None, ...]) -> None:
    assert differences(session, *views) == ""


def test_the_file_counts_when_no_view_has_it(session: Session) -> None:
    no_openssl = OPENSSL.format(does="throw 'never'").replace("cmd.exe", "none.exe")
    assert differences(session, before=FILE.format(version="14.50.35719") + no_openssl) == ""
    assert differences(session, OLD, before=FILE.format(version="14.42.1") + no_openssl) == f"14.42.1 -> {NEW}"
    assert differences(session, OLD, OLD) == f"{OLD} -> {NEW}"
    assert differences(session) == f" -> {NEW}"
    assert differences(session, before=FILE.format(version="0.0.0") + no_openssl) == f" -> {NEW}", "a file without a version"


def test_an_openssl_that_runs_is_enough(session: Session) -> None:
    file = FILE.format(version="14.40.1")
    assert differences(session, OLD, before=file + OPENSSL.format(does="")) == ""
    assert differences(session, OLD, before=file + OPENSSL.format(does="throw 'exit code -1073741515'")) == f"14.40.1 -> {NEW}"
    assert differences(session, OLD, before=NONE + OPENSSL.format(does="throw 'a message box'")) == f"{OLD} -> {NEW}", (
        "without the DLL it is not started"
    )


def test_an_openssl_that_others_could_change_is_not_started(session: Session) -> None:
    """It would run as an administrator: not in a plan either, which has not refused it yet when this step asks it."""
    openssl = '{"kind": "msi", "version": "3.5.7", "url": "https://x.example.com/o.msi", "sha256": "%s", "executable": ["C:\\\\windows\\\\system32\\\\cmd.exe"]}'
    foreign = (
        f"$Settings | Add-Member -Force openssl (ConvertFrom-Json '{openssl % ('89ab' * 16)}'); $Settings | Add-Member -Force adopt $true; "
    )
    unsafe = "function Get-ProgramFault { New-Failure access-owner '{path} is owned by {owner}' @{ path = 'C:\\a'; owner = 'anna' } }; "
    started = "$Started = New-Object Collections.ArrayList; function Invoke-Program { [void]$Started.Add(1) }; "
    ask = '& $Steps[0].Test; [string]$Started.Count; try { & $Steps[1].Test } catch { "$_" }'
    tested = "$Run.Differences = New-Object Collections.ArrayList; function Test-CutOff { $false }; "
    file = FILE.format(version="3.5.7")
    count, said = session.run(f"{foreign}{unsafe}{started}{tested}{file}{ask}")
    assert count == "0" and "would run with administrator rights, but other accounts can change it: C:\\a is owned by anna" in said
    safe = "function Get-ProgramFault { }; function Compare-InstalledFile { }; "
    assert session.run(f"{foreign}{safe}{started}{tested}{file}{ask}") == ["1"]


def test_an_installer_that_succeeded_and_registered_nothing_is_no_failure(session: Session) -> None:
    """openssl.exe is installed later, and shows whether it is enough."""
    apply = (
        "function Save-Program { }; function Install-Bundle { }; function Get-CachedFile { 'C:\\none.exe' }; & $Steps[0].Apply | Out-Null; "
    )
    assert differences(session, OLD, before=NONE + OPENSSL.format(does="throw").replace("cmd.exe", "none.exe") + apply) == ""
    session.run("$VcRuntime.Installed = $false")
