r"""A Python that somebody's installer has registered for the machine: where it is looked for, and whether it may be used.

On the real engine and registry. Wine keeps no access lists, so those of the hosts in a box stand in.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout import TESTS
from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine, steps

STAND_INS = TESTS / "boxes" / "stand_ins"
KEY = r"HKLM:\SOFTWARE\Python\PythonCore"
CLEAN = f"if (Test-Path '{KEY}') {{ Remove-Item -Path '{KEY}\\9.87*' -Recurse -Force }}"
FOLDER = r"C:\nbserver test Python987"
# What Windows gives C:\ itself, and C:\PythonNN below it: Authenticated Users (AU) inherit Modify.
DRIVE = "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CIIO;DC;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICIIO;GA;;;CO)"
OPEN = "O:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;OICIID;0x1301bf;;;AU)"
# What C:\Program Files\Python313 inherits: TrustedInstaller, CREATOR OWNER for what is made in it, programs of the Store.
CLOSED = "O:SYD:AI(A;CIID;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;OICIID;0x1200a9;;;AC)"
SETTINGS = '$Settings = ConvertFrom-Json \'{"scope": "machine", "architecture": "ARCHITECTURE", "skip": [], "python": {"kind": "exe", "version": "9.87.1", "executable": ["python.exe"]}}\'; '


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        stand_ins = "\n".join(f". '{host_path(STAND_INS / name)}.ps1'" for name in ("state", "acl"))
        files = prelude("run", "events", "envelope", "part_data", "record", "registry", "files", "path_access", "bundles")
        opened.keep(
            f"{stand_ins}\n{SETTINGS}\n{files}\n{steps('python')}\nfunction Test-CutOff {{ $false }}\nfunction Get-CachedFile {{ '' }}"
        )
        opened.run(
            f"[void](New-Item -ItemType Directory -Force -Path '{FOLDER}\\Lib\\site-packages'); [IO.File]::WriteAllText('{FOLDER}\\python.exe', '')"
        )
        yield opened
        opened.run(f"Remove-Item -LiteralPath '{FOLDER}' -Recurse -Force; {CLEAN}")


@pytest.fixture
def access(session: Session) -> Iterator[None]:
    """Afterwards every access list is again what it is without being set."""
    yield
    session.run(r"Remove-Item -Path 'C:\nbserver-test\acl\*.json'")


def settings(architecture: str = "x64") -> str:
    return SETTINGS.replace("ARCHITECTURE", architecture)


def register(session: Session, tag: str, version: str = "9.87.1") -> None:
    session.run(
        f"{CLEAN}; [void](New-Item -Force -Path '{KEY}\\{tag}\\InstallPath' -Value '{FOLDER}\\'); "
        f"Set-ItemProperty -LiteralPath '{KEY}\\{tag}' -Name Version -Value '{version}'"
    )


def set_access(session: Session, path: str, sddl: str) -> None:
    session.run(
        f"$acl = Get-Acl -LiteralPath '{path}'; $acl.SetSecurityDescriptorSddlForm('{sddl}'); Set-StandInAccess '{path}'.TrimEnd('\\') $acl.Sddl"
    )


def look(session: Session, before: str = "") -> list[str]:
    """What the step's Test finds: differences, or nothing. Raises EngineError where it refuses."""
    return session.run(
        before
        + settings()
        + "$Run.Differences = New-Object Collections.ArrayList; & $Steps[0].Test; foreach ($one in $Run.Differences) { $one.should }"
    )


@pytest.mark.parametrize(
    ("architecture", "tag", "found"),
    [("x64", "9.87", True), ("arm64", "9.87-arm64", True), ("arm64", "9.87", False), ("x64", "9.87-arm64", False)],
)
def test_the_registration_has_the_architecture_in_its_name(session: Session, architecture: str, tag: str, found: bool) -> None:
    register(session, tag)
    (folder,) = session.run(settings(architecture) + "Get-PythonFolder")
    assert (folder == FOLDER) is found
    assert found or folder.endswith(r"\nbserver\python-9.87.1")


@pytest.mark.usefixtures("access")
def test_one_that_only_administrators_write_is_used(session: Session) -> None:
    register(session, "9.87")
    set_access(session, "C:\\", DRIVE)
    for path in ("", r"\python.exe", r"\Lib", r"\Lib\site-packages"):
        set_access(
            session,
            FOLDER + path,
            CLOSED if path != r"\python.exe" else CLOSED.replace("CIID", "ID").replace("OIID", "ID").replace("(A;OICIIOID;GA;;;CO)", ""),
        )
    assert look(session) == []


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize("where", ["", r"\python.exe", r"\Lib", r"\Lib\site-packages"])
def test_one_that_others_could_change_is_refused(session: Session, where: str) -> None:
    """It runs as administrator."""
    register(session, "9.87")
    set_access(session, FOLDER + where, OPEN if where != r"\python.exe" else OPEN.replace("OICIID", "ID"))
    with pytest.raises(EngineError) as refused:
        look(session)
    said = str(refused.value)
    assert (
        f"S-1-5-11 can modify {FOLDER}{where}" in said
        and 'python.kind = "zip"' in said
        and "Allow only SYSTEM and administrators to write to this folder" in said
    )


@pytest.mark.usefixtures("access")
def test_a_link_in_it_is_refused(session: Session) -> None:
    """Its list says nothing about what it leads to. Wine makes no link here."""
    register(session, "9.87")
    set_access(session, "C:\\", DRIVE)
    for path in ("", r"\python.exe", r"\Lib", r"\Lib\site-packages"):
        set_access(session, FOLDER + path, CLOSED)
    with pytest.raises(EngineError) as refused:
        look(session, rf"function Test-Link([string]$Path) {{ $Path -eq '{FOLDER}\Lib' }}; ")
    assert rf"{FOLDER}\Lib is a link" in str(refused.value)


@pytest.mark.usefixtures("access")
@pytest.mark.parametrize(
    ("path", "sddl", "words"),
    [
        (FOLDER, CLOSED.replace("O:SY", "O:BU"), "is owned by S-1-5-32-545"),
        (FOLDER, CLOSED + "(A;OICIIO;GW;;;BU)", "S-1-5-32-545 can modify"),
        (FOLDER, CLOSED + "(A;;WD;;;WD)", "S-1-1-0 can modify"),
        ("C:\\", DRIVE + "(A;;DT;;;BU)", "S-1-5-32-545 can modify C:\\"),
        ("C:\\", DRIVE + "(A;;WO;;;BU)", "S-1-5-32-545 can modify C:\\"),
    ],
)
def test_other_ways_to_change_it(session: Session, path: str, sddl: str, words: str) -> None:
    register(session, "9.87")
    set_access(session, path, sddl)
    with pytest.raises(EngineError) as refused:
        look(session)
    assert words in str(refused.value)


def test_one_whose_program_is_gone_is_refused(session: Session) -> None:
    """Its installer would change what is somebody's, and undo would remove it."""
    register(session, "9.87")
    session.run(f"Move-Item -LiteralPath '{FOLDER}\\python.exe' '{FOLDER}\\moved.exe'")
    try:
        with pytest.raises(EngineError, match=r"python\.exe is missing from this folder\. Repair or uninstall it"):
            look(session)
    finally:
        session.run(f"Move-Item -LiteralPath '{FOLDER}\\moved.exe' '{FOLDER}\\python.exe'")


def test_an_earlier_patch_of_nbserver_itself_is_not_moved_and_the_way_to_the_new_one_is_named(session: Session) -> None:
    """A release may have a newer patch as exe. To stay with the earlier one would be to stay without its fixes."""
    register(session, "9.87", "9.87.0")
    with pytest.raises(EngineError) as refused:
        look(session, f"$Programs = '{FOLDER.rpartition(chr(92))[0]}'; ")
    said = str(refused.value)
    assert f"nbserver installed Python 9.87.0 in {FOLDER} " in said and "Run nbserver catalog update" in said
    with pytest.raises(EngineError, match=r'Set python\.version = "9\.87\.0"'):
        look(session)


OWN = KEY.replace("HKLM:", "HKCU:") + r"\9.87"
BUNDLE = r"HKCU:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\{nbserver-test-987}"


@pytest.fixture
def own(session: Session) -> Iterator[None]:
    """What Python's installer leaves after an installation "just for me", its default."""
    session.run(
        f"{CLEAN}; [void](New-Item -Force -Path '{OWN}\\InstallPath' -Value 'C:\\Users\\anna\\Python987\\'); "
        f"Set-ItemProperty -LiteralPath '{OWN}' -Name Version -Value '9.87.0'; [void](New-Item -Force -Path '{BUNDLE}'); "
        f"Set-ItemProperty -LiteralPath '{BUNDLE}' -Name BundleProviderKey -Value 'CPython-9.87'"
    )
    yield
    session.run(f"Remove-Item -Path '{OWN}', '{BUNDLE}' -Recurse -Force -ErrorAction SilentlyContinue; {CLEAN}")


@pytest.mark.usefixtures("own")
def test_one_of_this_account_only_is_refused(session: Session) -> None:
    """The installer would upgrade it, and undo could not restore it."""
    with pytest.raises(EngineError) as refused:
        look(session)
    said = str(refused.value)
    assert r"Python 9.87.0 is installed in C:\Users\anna\Python987 for this account only" in said and 'python.kind = "zip"' in said


@pytest.mark.usefixtures("own", "access")
@pytest.mark.parametrize("left", [BUNDLE, OWN])
def test_what_the_installer_cannot_change_is_no_obstacle(session: Session, left: str) -> None:
    """Another installer's Python, and an installation for the machine, whose entry is in the same place."""
    session.run(f"Remove-Item -LiteralPath '{OWN if left == BUNDLE else BUNDLE}' -Recurse -Force")
    (should,) = look(session)
    assert should.endswith(r"\nbserver\python-9.87.1\python.exe")
