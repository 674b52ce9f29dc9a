"""Preflight's comparison of the host's Windows with the inventory's, run in the real engine with versions as parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.catalog.windows_releases import RELEASES
from tests.powershell.engine import EngineError, Session, host_path, part, prelude, require_engine, steps

PROGRAMS = r"C:\Users\anna\AppData\Local\nbserver\programs"
KEY = r"HKCU:\Software\nbserver-test-preflight"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as session:
        session.keep(
            "$CertificateFile = $KeyFile = 'x'; "
            + prelude(
                "run", "events", "record", "registry", "files", "windows_version", "foreign_configuration", "host_checks", scope="user"
            )
            + steps("notebook", "packages")
            + steps("preflight")
            + steps("preflight", scope="user")
        )
        yield session


def fault(session: Session, version: str, kind: str, windows: str | None) -> str:
    should = f"'{windows}'" if windows else "$null"
    return "".join(session.run(f"$fault = Get-WindowsFault ([version]'{version}') '{kind}' {should}; if ($fault) {{ $fault.Message }}"))


def test_the_releases_are_those_of_the_inventory(session: Session) -> None:
    pairs = session.run('foreach ($name in $WindowsVersions.Keys) { "$name $($WindowsVersions[$name])" }')
    assert sorted(pairs) == sorted(f"{name} {release.version}" for name, release in RELEASES.items())


ENOUGH = [
    ("10.0.14393", "Server", None),
    ("10.0.19045", "Client", None),
    ("10.0.26100", "Server Core", "2025"),
    ("10.0.26100", "Server", "2012r2"),
    ("10.0.17763", "Server", "2019"),
    ("10.0.22631", "Client", "11"),
    ("10.0.10240", "Client", "10"),
    ("6.3.9600", "Server", "2012r2"),
    ("6.3.9600", "Server", "2012"),
    ("6.2.9200", "Server", "2012"),
    ("10.0.19045", "Client", "2019"),
]


@pytest.mark.parametrize(("version", "kind", "windows"), ENOUGH)
def test_the_windows_of_the_inventory_or_a_newer_one_is_accepted(session: Session, version: str, kind: str, windows: str | None) -> None:
    assert fault(session, version, kind, windows) == ""


TOO_OLD = [
    (
        "6.3.9600",
        "Server",
        None,
        "windows is not set in the inventory, so Windows 10, Windows Server 2016, or newer is required",
        'Set windows = "2012r2" in the inventory',
    ),
    (
        "6.2.9200",
        "Server",
        None,
        "windows is not set in the inventory",
        'Set windows = "2012" and accept_end_of_life = true in the inventory',
    ),
    (
        "6.2.9200",
        "Server",
        "2012r2",
        'windows = "2012r2" in the inventory requires version 6.3 or newer',
        'Set windows = "2012" and accept',
    ),
    (
        "10.0.17763",
        "Server",
        "2022",
        'windows = "2022" in the inventory requires version 10.0.20348 or newer',
        'Set windows = "2019" in the inventory',
    ),
    ("10.0.18363", "Server Core", "2025", 'windows = "2025"', 'Set windows = "2019" in the inventory'),
    (
        "10.0.19045",
        "Client",
        "11",
        'windows = "11" in the inventory requires version 10.0.22000 or newer',
        'Set windows = "10" in the inventory',
    ),
    ("10.0.22000", "Client", "2025", 'windows = "2025"', 'Set windows = "11" in the inventory'),
    (
        "6.3.9600",
        "Client",
        None,
        "this host runs Windows version 6.3.9600, which is too old",
        "Use Windows 10, Windows Server 2012, or newer",
    ),
    ("6.1.7601", "Server", "2012", "which is too old", "Use Windows 10, Windows Server 2012, or newer"),
    ("10.0.14393", "", "2019", 'windows = "2019"', 'Set windows = "2016" in the inventory'),
]


@pytest.mark.parametrize(("version", "kind", "windows", "why", "todo"), TOO_OLD)
def test_an_older_windows_is_refused_with_the_setting_to_write(
    session: Session, version: str, kind: str, windows: str | None, why: str, todo: str
) -> None:
    text = fault(session, version, kind, windows)
    assert why in text and todo in text and text.startswith(f"this host runs Windows version {version}, ")


@pytest.mark.parametrize(
    ("values", "told", "is_"),
    [
        ({"CurrentVersion": "'6.3'", "CurrentBuildNumber": "'9600'"}, "6.2.9200", "6.3.9600"),
        ({"CurrentVersion": "'6.2'", "CurrentBuildNumber": "'9200'"}, "6.2.9200", "6.2.9200"),
        (
            {
                "CurrentMajorVersionNumber": "10",
                "CurrentMinorVersionNumber": "0",
                "CurrentVersion": "'6.3'",
                "CurrentBuildNumber": "'20348'",
            },
            "6.2.9200",
            "10.0.20348",
        ),
        ({"CurrentBuildNumber": "'20348'"}, "10.0.20348.0", "10.0.20348.0"),
        ({}, "10.0.17763", "10.0.17763"),
        ({"CurrentVersion": "'6.3'", "CurrentBuildNumber": "'17763'"}, "10.0.17763", "10.0.17763"),
    ],
    ids=range(6),
)
def test_the_registry_counts_where_it_says_more(session: Session, values: dict[str, str], told: str, is_: str) -> None:
    """A program without a manifest is told 6.2; the registry is read from a key of the test's own."""
    fill = "".join(f"Set-ItemProperty -LiteralPath $WindowsKey -Name {name} -Value {value};" for name, value in values.items())
    script = f"$WindowsKey = '{KEY}'; [void](New-Item $WindowsKey -Force); {fill} [string](Get-WindowsVersion ([version]'{told}')); Remove-Item $WindowsKey"
    assert session.run(script) == [is_]


@pytest.mark.parametrize(("version", "installer"), [("6.3.9600", "pip"), ("10.0.14393", "uv")])
def test_the_installer_of_packages_is_chosen_by_the_registrys_version(session: Session, version: str, installer: str) -> None:
    """Over WinRM, the program that runs the script is told 6.2 on every Windows."""
    settings = '$Settings = ConvertFrom-Json \'{"packages": {"installer": "auto"}}\'; '
    assert session.run(f"{settings}function Get-WindowsVersion {{ [version]'{version}' }}; Get-PackageInstaller") == [installer]


MEMORY = 'function Get-WSManInstance([string]$ResourceURI, $SelectorSet) {{ $root = [xml]\'<c MaxMemoryPerShellMB="{shell}"><Quotas MaxMemoryPerShellMB="{endpoint}"/></c>\'; $root.DocumentElement }}; Assert-ShellMemory'


def test_both_quotas_of_memory_count(session: Session) -> None:
    """One is of command shells, the other of the endpoint of PowerShell; 0 is no limit."""
    for shell, endpoint in (("1024", "1024"), ("0", "2048"), ("2147483647", "0")):
        assert session.run(MEMORY.format(shell=shell, endpoint=endpoint)) == []
    with pytest.raises(
        EngineError, match=r"remote shells have a memory quota of 512 MB.*Set-Item WSMan:\\localhost\\Shell\\MaxMemoryPerShellMB 2048"
    ):
        session.run(MEMORY.format(shell="512", endpoint="1024"))
    with pytest.raises(
        EngineError,
        match=r"Microsoft.PowerShell endpoint has a memory quota of 512 MB.*Plugin\\Microsoft.PowerShell\\Quotas\\MaxMemoryPerShellMB 2048",
    ):
        session.run(MEMORY.format(shell="2048", endpoint="512"))
    assert session.run("function Get-WSManInstance { throw 'not running' }; Assert-ShellMemory") == []


@pytest.mark.parametrize(
    ("place", "counts"),
    [
        ("$IsFile = $false", True),  # the text of a pipeline, over PSRP
        ("$IsFile = $true; $UserSid = 'S-1-5-21-1-2-3-1001'; $env:SSH_CONNECTION = '192.0.2.7 50000 192.0.2.8 22'", False),
        ("$IsFile = $true; $UserSid = 'S-1-5-18'", False),  # a startup script
    ],
)
def test_a_quota_counts_only_in_a_shell_of_winrm(session: Session, place: str, counts: bool) -> None:
    ask = f"& {{ {place}; try {{ {MEMORY.format(shell='150', endpoint='150')} }} finally {{ $env:SSH_CONNECTION = '' }} }}"
    if not counts:
        assert session.run(ask) == []
        return
    with pytest.raises(EngineError, match="remote shells have a memory quota of 150 MB"):
        session.run(ask)


def test_a_quota_of_a_policy_is_for_whoever_manages_it(session: Session) -> None:
    """On the host, Set-Item WSMan: would be refused."""
    session.run(
        f"[void](New-Item -Path '{KEY}' -Force); Set-ItemProperty -LiteralPath '{KEY}' -Name MaxMemoryPerShellMB -Value 150 -Type DWord"
    )
    with pytest.raises(
        EngineError, match=r'a group policy sets a memory quota of 150 MB .* "Specify maximum amount of memory in MB per Shell"'
    ):
        session.run(f"& {{ $ShellPolicy = '{KEY}'; {MEMORY.format(shell='150', endpoint='0')} }}")
    session.run(f"Remove-Item -LiteralPath '{KEY}' -Recurse")


def test_a_windows_without_the_runtime_of_python_is_refused(session: Session) -> None:
    assert session.run("Assert-UniversalRuntime") == []
    with pytest.raises(
        EngineError, match=r"install update KB2999226 at this host's console \(Windows does not allow wusa\.exe over WinRM\)"
    ):
        session.run("function Test-Path($LiteralPath) { $LiteralPath -notlike '*\\system32\\ucrtbase.dll' }; Assert-UniversalRuntime")


def test_the_engines_own_windows_is_new_enough(session: Session) -> None:
    (version,) = session.run("[string](Get-WindowsVersion ([Environment]::OSVersion.Version))")
    assert re.fullmatch(r"10\.0\.\d+(\.\d+)?", version)
    assert fault(session, version, "Server", None) == ""


OURS = f"{PROGRAMS}\\env\\Scripts\\python.exe"
PORT_OWNERS = [
    ([OURS], True, 9999, ""),
    ([r"C:\Python313\python.exe", OURS], True, 7777, ""),
    ([r"C:\other\server.exe"], True, 9999, "by server.exe (process 1). Stop it"),
    ([r"C:\other\server.exe"], True, 7777, "by server.exe (process 1). Stop it"),
    (["", OURS], True, 7777, ""),
    ([], True, 9999, ""),
    ([], True, 7777, "by another program. Stop it"),
    ([], True, 99990, "by another program. Stop it"),
    ([], True, None, "by another program. Stop it"),
    ([], False, 9999, "by another program. Stop it"),
]


@pytest.mark.parametrize(("listen", "runs", "deployed", "refused"), PORT_OWNERS, ids=range(len(PORT_OWNERS)))
def test_a_port_is_our_servers_own_only_where_it_listens_there(
    session: Session, tmp_path: Path, listen: list[str], runs: bool, deployed: int | None, refused: str
) -> None:
    """Who listens is a parameter: the programs of the listening process and of those that started it; nobody where Windows does not tell."""
    file = tmp_path / "jupyter_server_config.json"
    if deployed:
        session.run(
            f'$Settings = ConvertFrom-Json \'{{"notebook": {{"cull_idle_seconds": 0, "collaboration": false, "interface": "lab", "ip": "*", "port": {deployed}, "session": 12, "directory": "C:\\\\x"}}}}\'; [IO.File]::WriteAllText(\'{host_path(file)}\', (Get-Configuration))'
        )
    programs = ", ".join(f"'{program}'" for program in listen)
    script = f"""
        $Settings = ConvertFrom-Json '{{"notebook": {{"port": 9999}}}}'
        $Programs = '{PROGRAMS}'; $ConfigurationFile = '{host_path(file)}'
        function Test-PortListening {{ $true }}
        function Get-ProcessBelow {{ if ({"$true" if runs else "$false"}) {{ 'one' }} }}
        function Get-PortProcess {{ $id = 0; foreach ($program in @({programs})) {{ $id++; New-Object PSObject -Property @{{ Name = [IO.Path]::GetFileName($program); ProcessId = $id; ExecutablePath = $program }} }} }}
        Assert-FreePort; 'free'
    """
    if not refused:
        assert session.run(script) == ["free"]
        return
    with pytest.raises(EngineError) as told:
        session.run(script)
    assert "TCP port 9999 is used " in str(told.value) and refused in str(told.value)


FOREIGN = (
    r"ProgramData\jupyter\jupyter_server_config.py",
    r"ProgramData\jupyter\kernels\python3\kernel.json",
    r"ProgramData\ipython\ipython_config.py",
    r"ProgramData\pip\pip.ini",
    r"ProgramData\uv\uv.toml",
    r"account\.jupyter\jupyter_config.json",
    r"account\.jupyter\migrated",
    r"account\AppData\Roaming\jupyter\jupyter_server_config.d\x.json",
    r"account\AppData\Roaming\jupyter\runtime\1.json",
    r"account\.ipython\profile_default\ipython_kernel_config.py",
    r"account\.ipython\profile_default\startup\00.py",
    r"account\.ipython\profile_default\startup\README",
)


@pytest.mark.parametrize("scope", ["machine", "user"])
def test_configuration_of_others_is_named_once(session: Session, tmp_path: Path, scope: str) -> None:
    """In user scope the machine's pip.ini counts: it says where packages come from."""
    at = {"user": "account", "machine": r"ServiceProfiles\LocalService"}[scope]
    for name in FOREIGN:
        file = tmp_path / name.replace("account", at).replace("\\", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    folder = host_path(tmp_path)
    script = rf"""
        {part(f"prelude/{scope}/foreign_places")}
        $Run.ForeignNamed = $false
        $before = $env:ProgramData, $env:SystemRoot, $env:USERPROFILE
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
        try {{
            $env:ProgramData = '{folder}\ProgramData'; $env:SystemRoot = '{folder}'; $env:USERPROFILE = '{folder}\account'
            foreach ($name in 'Jupyter_Nbserver_Test', 'PIP_NBSERVER_TEST') {{ Set-ItemProperty -LiteralPath $key -Name $name -Value 'https://anna:geheim@example.com' }}
            1..2 | ForEach-Object {{ Write-ForeignConfiguration }}
            Get-Said
        }} finally {{
            $env:ProgramData, $env:SystemRoot, $env:USERPROFILE = $before
            foreach ($name in 'Jupyter_Nbserver_Test', 'PIP_NBSERVER_TEST') {{ Remove-ItemProperty -LiteralPath $key -Name $name }}
        }}
    """
    (event,) = (json.loads(line) for line in session.run(script))
    text = event["text"]
    assert event["event"] == "warning" and text.startswith("nbserver ignores configuration that it did not install: ")
    named = text.partition(": ")[2].replace(folder + "\\", "").replace(at, "account").split(", ")
    expected = {
        r"ProgramData\jupyter\jupyter_server_config.py",
        r"ProgramData\jupyter\kernels",
        r"ProgramData\ipython\ipython_config.py",
        r"account\.jupyter\jupyter_config.json",
        r"account\AppData\Roaming\jupyter\jupyter_server_config.d",
        r"account\.ipython\profile_default\ipython_kernel_config.py",
        r"account\.ipython\profile_default\startup\00.py",
        "the variable Jupyter_Nbserver_Test",
    }
    if scope == "user":
        assert set(named) == expected
    else:
        all_of_them = {*expected, r"ProgramData\pip\pip.ini", r"ProgramData\uv\uv.toml", "the variable PIP_NBSERVER_TEST"}
        assert len(named) == 11 and set(named[:9]) < all_of_them and named[9] in all_of_them and named[10] == "and 1 more"
    assert "geheim" not in text


@pytest.mark.parametrize(("state", "warnings"), [("0", []), ("1", ["smart-app-control"]), ("2", []), ("", [])])
def test_smart_app_control_is_named_once_if_it_is_on(session: Session, state: str, warnings: list[str]) -> None:
    put = f"Set-ItemProperty -LiteralPath '{KEY}' -Name VerifiedAndReputablePolicyState -Value {state} -Type DWord; " if state else ""
    said = session.run(
        f"[void](New-Item -Path '{KEY}' -Force); {put}$CodeIntegrityKey = '{KEY}'; $SmartAppControl.Reported = $false; $Run.Step = 'preflight'; "
        f"Write-SmartAppControl; Write-SmartAppControl; Get-Said; Remove-Item -LiteralPath '{KEY}'"
    )
    assert [json.loads(event)["code"] for event in said] == warnings
    assert all("turn Smart App Control off in Windows Security" in event for event in said)
