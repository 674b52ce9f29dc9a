"""Installers and uninstallers by the prelude's own functions on a real engine: every exit code of every kind, another installer that
runs meanwhile, and undo when the cache was cleared. One small program (tests/boxes/installer.c) stands in for msiexec and for the
publishers' setups; the real msiexec is in steps/windows/test_openssl.py."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checkout import TESTS
from tests.powershell.engine import Session, host_path, prelude, require_engine

COMPILER = "x86_64-w64-mingw32-gcc"
FILES = ("installer_failures", "installers", "msi_packages", "bundles", "inno_setup")
KEY = r"HKCU:\Software\nbserver installers"
PYTHON_NAME = "python-3.11.9-amd64.exe"
LOG = r" If there is a log in {folder}\runs\r, fix the error that it shows, then try again"
# Exit code -> the code of the message, and its text.
FAILED = ("installer-failed", "{name} failed (exit code {code})." + LOG)
WINDOWS_CODES = {
    1602: ("installer-cancelled", "{name} was canceled (exit code {code}). Try again, and let the installer finish"),
    1603: FAILED,
    1625: (
        "installer-forbidden",
        "a policy on this host forbids {name} (exit code {code}). Ask the administrator who manages this policy for an exception, then try again",
    ),
    1638: (
        "installer-other-version",
        "{name} cannot replace the version that is already installed (exit code {code}). Uninstall that version, or set it in the inventory, then try again",
    ),
}
INNO_CODES = {
    1: ("installer-not-started", "{name} could not start (exit code {code}). Restart Windows, then try again"),
    2: (
        "installer-cancelled-early",
        "{name} was canceled before it changed anything (exit code {code}). Try again, and let the installer finish",
    ),
    3: (
        "installer-failed-early",
        "{name} failed before it changed anything, possibly because the host is low on memory (exit code {code}). Close other programs, then try again",
    ),
    4: FAILED,
    5: ("installer-stopped", "{name} was canceled or could not write a file (exit code {code})." + LOG),
    6: ("installer-killed", "{name} was stopped by a debugger (exit code {code}). Close the debugger, then try again"),
    7: ("installer-cannot-continue", "{name} cannot continue on this host (exit code {code})." + LOG),
    8: (
        "installer-needs-restart",
        "{name} cannot continue until Windows restarts (exit code {code}). Restart Windows, then try again",
    ),
}
# What the prelude runs, and the exit codes that it explains.
KINDS = {
    "msi": ("Install-Msi $File", WINDOWS_CODES),
    "msi removed": ("& $Restore.msi $File $null", WINDOWS_CODES),
    "bundle": ("Install-Bundle $File @('/quiet') ''", WINDOWS_CODES),
    "bundle removed": ("& $Restore.bundle $File ''", WINDOWS_CODES),
    "inno": (r"Install-Inno $File 'C:\no such folder\x'", INNO_CODES),
}


@dataclass(frozen=True)
class Did:
    error: str
    code: str
    reboot: bool
    events: list[dict[str, object]]
    calls: list[str]

    def of(self, event: str) -> list[dict[str, object]]:
        return [one for one in self.events if one["event"] == event]


class Bench:
    """`setup` is the installer in a cache folder of its own."""

    def __init__(self, session: Session, program: Path, folder: Path) -> None:
        self.session, self.program, self.folder = session, program, folder
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.setup = self.cache / f"0123456789abcdef-{PYTHON_NAME}"
        shutil.copy(program, self.setup)
        place = host_path(folder)
        session.keep(
            f"$StateFolder = '{place}'; $CacheFolder = '{host_path(self.cache)}'; $RecordFile = '{place}\\record.jsonl'; $MsiExec = '{host_path(program)}'\n"
            f"$env:NBSERVER_TEST_INSTALLER = '{place}'; $File = '{host_path(self.setup)}'; $InstallerPatience = 5; $Run.Id = 'r'"
        )

    def do(self, what: str, *codes: int) -> Did:
        """Run it; `codes` are the exit codes of the program's calls, and 0 after them."""
        (self.folder / "installer-codes.txt").write_text("".join(f"{code}\n" for code in codes))
        calls = self.folder / "installer-calls.txt"
        calls.unlink(missing_ok=True)
        script = (
            "$Run.Reboot = $false; $Failed = $Code = ''\n"
            f"try {{ {what} }} catch {{ $Failed = [string]$_; $Code = [string]$_.Exception.Data['code'] }}\n"
            'Get-Said; "error $Failed"; "code $Code"; "reboot $($Run.Reboot)"'
        )
        *events, error, code, reboot = self.session.run(script)
        told = [json.loads(event) for event in events]
        ran = calls.read_text().splitlines() if calls.exists() else []
        return Did(error.removeprefix("error "), code.removeprefix("code "), reboot == "reboot True", told, ran)

    def cut_off(self) -> bool:
        return (self.cache / f"{self.setup.name}.running").exists()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which(COMPILER):
        pytest.skip(f"an installer to be run needs {COMPILER} (Debian package gcc-mingw-w64-x86-64)")
    file = tmp_path_factory.mktemp("installer") / "msiexec.exe"
    source = TESTS / "boxes" / "installer.c"
    subprocess.run([COMPILER, "-O1", "-s", "-static", "-o", str(file), str(source)], check=True, timeout=120)
    return file


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "hashes", "events", "envelope", "part_data", "record", "registry", "files", "programs", *FILES))
        yield opened
        opened.run(f"if (Test-Path -LiteralPath '{KEY}') {{ Remove-Item -LiteralPath '{KEY}' -Recurse -Force }}")


@pytest.fixture
def bench(session: Session, program: Path, tmp_path: Path) -> Bench:
    return Bench(session, program, tmp_path)


def test_another_installer_is_waited_for_five_minutes(session: Session) -> None:
    """The tests below have less patience: all else is the same."""
    session.keep(prelude(*FILES))
    assert session.run('"$InstallerPatience"') == ["300"]


@pytest.mark.parametrize("kind", KINDS)
def test_how_it_ends(bench: Bench, kind: str) -> None:
    what, failures = KINDS[kind]
    name = bench.setup.name
    for code in (0, 3010, 1641):
        did = bench.do(what, code)
        assert (did.error, did.reboot, len(did.calls)) == ("", code != 0, 1) and not bench.cut_off(), code
    for code, (message, text) in failures.items():
        did = bench.do(what, code)
        expected = text.format(name=name, code=code, folder=host_path(bench.folder))
        assert (did.error, did.code, did.reboot) == (expected, message, False) and not bench.cut_off(), code
    other = 1601 if kind == "inno" else 1619  # none that is expected
    did = bench.do(what, other)
    assert did.error.endswith(f" exited with code {other}: (none)") and not bench.cut_off()


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_not_installed(bench: Bench, kind: str) -> None:
    """1605 is what a removal wants, and no way to end for an installation."""
    did = bench.do(KINDS[kind][0], 1605)
    assert not did.error if "removed" in kind else did.error.endswith(" exited with code 1605: (none)")
    assert not did.reboot and not bench.cut_off()


@pytest.mark.parametrize("kind", KINDS)
def test_another_installer_ends_meanwhile_or_does_not(bench: Bench, kind: str) -> None:
    did = bench.do(KINDS[kind][0], 1618, 3010)
    assert (did.error, did.reboot, len(did.calls)) == ("", True, 2)
    (waited,) = (event for event in did.of("progress") if event["code"] == "waiting-for-installer")
    assert waited["what"] == "Waiting for another installer to finish" and (waited["done"], waited["total"]) == (0, 5)
    did = bench.do(KINDS[kind][0], 1618, 1618, 0)
    assert did.code == "installer-busy" and len(did.calls) == 2, "its time was up"
    assert did.error == (
        f"{bench.setup.name} could not start (exit code 1618), because another installer is running on this host. "
        "Wait for it to finish, then try again"
    )
    assert not bench.cut_off()


def test_a_package_that_is_gone_with_its_product_is_put_back(bench: Bench) -> None:
    bench.setup.unlink()
    did = bench.do("& $Restore.msi $File $null", 1603)
    assert (did.error, did.calls) == ("", []) and "the program that it installed was already removed" in str(did.of("log"))


def register(bench: Bench, name: str) -> Path:
    """What a bundle leaves: a copy of itself, named in the registry. Returns that copy."""
    copy = bench.folder / "Package Cache" / name
    copy.parent.mkdir()
    shutil.copy(bench.program, copy)
    keys = "; ".join(
        f"[void](New-Item -Force -Path '{KEY}\\{{{guid}}}'); Set-ItemProperty -LiteralPath '{KEY}\\{{{guid}}}' -Name {value}"
        for guid, value in (("1", "DisplayName -Value 'no bundle'"), ("2", f"BundleCachePath -Value '{host_path(copy)}'"))
    )
    bench.session.keep(f"{keys}; $UninstallKeys = 'HKCU:\\Software\\nbserver no such key', '{KEY}'")
    return copy


def test_a_bundle_that_is_gone_from_the_cache_is_removed_by_its_own_copy(bench: Bench) -> None:
    copy = register(bench, PYTHON_NAME)
    bench.setup.unlink()
    did = bench.do("& $Restore.bundle $File ''", 3010)
    assert (did.error, did.reboot) == ("", True)
    assert [call.replace('"', "") for call in did.calls] == [f"{host_path(copy)} /uninstall /quiet /norestart"]
    copy.unlink()
    did = bench.do("& $Restore.bundle $File ''", 1603)
    assert (did.error, did.calls) == ("", []) and "the program that it installed was already removed" in str(did.of("log"))


def test_a_copy_in_the_profile_of_this_account_is_used_if_nobody_else_can_change_it(bench: Bench) -> None:
    """Python's setup registers itself for the account that runs it, although it installs for the whole machine."""
    script = prelude("bundles") + '\n"$($UninstallKeys[-1])"; "$OwnUninstallKey"'
    assert bench.session.run(script) == [r"HKCU:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"] * 2
    copy = register(bench, PYTHON_NAME)
    bench.setup.unlink()
    others = f"if ($Folder -ne '{host_path(copy.parent)}' -or $Also -cnotcontains $UserSid) {{ New-Failure access-owner 'others' }}"
    did = bench.do(
        f"$OwnUninstallKey = '{KEY}'; function Get-ProgramFault([string]$Folder, [string[]]$Also) {{ {others} }}; & $Restore.bundle $File ''"
    )
    assert [call.replace('"', "") for call in did.calls] == [f"{host_path(copy)} /uninstall /quiet /norestart"] and not did.error
    fault = "function Get-ProgramFault { New-Failure access-owner 'somebody else owns it' }"
    did = bench.do(f"$OwnUninstallKey = '{KEY}'; {fault}; & $Restore.bundle $File ''")
    assert (did.error, did.calls) == ("", [])


def test_a_runtime_that_other_programs_may_have_renewed_stays(bench: Bench) -> None:
    register(bench, "VC_redist.x64.exe")
    gone = bench.cache / "fedcba9876543210-VC_redist.x64.exe"
    did = bench.do(f"& $Restore.bundle '{host_path(gone)}' ''")
    assert (did.error, did.calls) == ("", []) and "that other programs need" in str(did.of("warning"))
