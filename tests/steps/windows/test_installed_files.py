r"""Damage to Python, OpenSSL, and the packages is seen and repaired: the steps' own Test and Apply on the real engine, with small folders.

What is downloaded and installed is a stand-in; tests/stories/ install real ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.engine import EngineError, Session, host_path, steps
from tests.steps.windows.place import Place, place, session

__all__ = ["place", "session"]
SITE = "Lib/site-packages"
MODULE = b"import sys\n"
RECORD = base64.urlsafe_b64encode(hashlib.sha256(MODULE).digest()).decode().rstrip("=")
FILES = {
    f"{SITE}/small/module.py": MODULE,
    f"{SITE}/small/__pycache__/module.pyc": b"compiled",
    f"{SITE}/small-1.0.dist-info/RECORD": f"small/module.py,sha256={RECORD},{len(MODULE)}\r\nsmall/__pycache__/module.pyc,,\r\n".encode(),
    "Scripts/python.exe": b"MZ",
    "pyvenv.cfg": b"home = HOME\r\n",
}
SETTINGS = {
    "scope": "machine",
    "architecture": "x64",
    "skip": [],
    "python": {"kind": "zip", "version": "3.13.2", "sha256": "a" * 64, "executable": ["python.exe"], "url": "http://x/python.zip"},
    "openssl": {"kind": "zip", "version": "3.5.7", "sha256": "b" * 64, "executable": ["openssl.exe"], "url": "http://x/openssl.zip"},
    "packages": {"lock_sha256": "c" * 64, "installer": "pip", "index_url": None},
    "notebook": {"directory": "C:\\notebooks"},
}
# What is installed comes from folders of the test; `$Log` says what was done.
STAND_INS = r"""
function Save-Program { }
function Get-CachedFile($Download) { "$CacheFolder\" + (Split-Path -Leaf $Download.url) }
function Test-CutOff { $false }
function Copy-Made([string]$Name, [string]$Folder) {
    $Log.Add($Name)
    foreach ($file in (New-Object IO.DirectoryInfo "$Made\$Name").GetFiles('*', 'AllDirectories')) {
        $target = $Folder + $file.FullName.Substring("$Made\$Name".Length)
        [void][IO.Directory]::CreateDirectory((Split-Path -Parent $target))
        [IO.File]::Copy($file.FullName, $target)
    }
}
function Expand-Zip([string]$File, [string]$Folder) { Copy-Made ((Split-Path -Leaf $Folder) -creplace '\.new\z') $Folder }
function Install-WithPip { Copy-Made env (Get-EnvironmentFolder) }
function Get-PackageEnvironment { @{} }
function Stop-Server { $Log.Add('stopped') }
function Test-AnswerAsSaved { $true }
function Invoke-Step([string]$Name, [switch]$Apply) {
    $step = @($Steps | Where-Object { $_.Name -eq $Name })[0]
    $Run.Step = $Name
    $Run.Differences = New-Object Collections.ArrayList
    & $step.Test
    $found = @($Run.Differences | ForEach-Object { $_.code })
    if ($Apply -and $found.Count) { & $step.Apply }
    $found
}
"""
# As the installer of Python: its package of pip is not uninstalled without python.exe (Tools/msi/pip/pip.wxs).
UNINSTALLS = r"""
$Restore.bundle = {
    param($File)
    if (-not [IO.File]::Exists("$Programs\python-3.13.2\python.exe")) { throw 'No Python was detected' }
    $Log.Add((Split-Path -Leaf $File))
    Remove-Folder "$Programs\python-3.13.2"
}
"""


class Installation:
    """The three folders, as their steps install them."""

    def __init__(self, place: Place) -> None:
        self.place, self.programs = place, place.folder / "programs"
        self.environment = self.programs / "env-3.13.2-cccccccc"
        made = {
            "python-3.13.2": {"python.exe": b"MZ", "Lib/os.py": b"x"},
            "openssl-3.5.7": {"openssl.exe": b"MZ", "libcrypto.dll": b"x"},
            "env": FILES,
        }
        for name, files in made.items():
            for path, content in files.items():
                file = place.folder / "made" / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.replace(b"HOME", host_path(self.programs / "python-3.13.2").encode()))
        self.settings: dict[str, Any] = json.loads(json.dumps(SETTINGS))
        self.steps = steps("python", "openssl", "packages")

    def run(self, *parts: str, thorough: bool = False, repair: bool = False, before: str = "") -> list[list[str]]:
        """What the Test of each step finds, for parts such as `python` or `python -Apply`; then what was done."""
        state = host_path(self.place.state)
        given = [
            "$Steps.Clear()",
            self.steps,
            f"$Settings = ConvertFrom-Json '{json.dumps(self.settings)}'",
            "$Lock = 'small==1.0', ''",
            "$Lock = @($Lock[0])",
            f"$FileLists = '{state}\\installed'; $CacheFolder = '{state}\\cache'; $Made = '{host_path(self.place.folder / 'made')}'",
            "$Log = New-Object Collections.Generic.List[string]; $AddedReported.Clear(); [void](Get-Said)",
            f"$Run.Thorough = ${str(thorough).lower()}; $Run.Repair = ${str(repair).lower()}",
            STAND_INS,
            before,
            *(f"'[' + (@(Invoke-Step {part}) -join ',') + ']'" for part in parts),
            "'[' + ($Log -join ',') + ']'",
        ]
        return [line.strip("[]").split(",") if line != "[]" else [] for line in self.place.run("\n".join(given))]

    def plan(self, thorough: bool = False) -> list[list[str]]:
        return self.run("python", "openssl", "packages", thorough=thorough)[:-1]

    def apply(self, **options: bool) -> list[list[str]]:
        return self.run("python -Apply", "openssl -Apply", "packages -Apply", **options)


GOOD: list[list[str]] = [[], [], []]


@pytest.fixture
def installation(place: Place) -> Installation:
    made = Installation(place)
    assert made.apply() == [["python"], ["openssl"], ["packages"], ["python-3.13.2", "openssl-3.5.7", "env"]]
    assert made.plan() == made.plan(thorough=True) == GOOD
    return made


def keep_time(file: Path, content: bytes) -> None:
    before = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_damage_is_seen_and_repaired(installation: Installation) -> None:
    module = installation.environment / SITE / "small/module.py"
    with module.open("ab") as file:
        file.write(b"import os\n")
    (installation.programs / "python-3.13.2/Lib/os.py").unlink()
    keep_time(installation.programs / "openssl-3.5.7/libcrypto.dll", b"xy")
    assert installation.plan() == [["files-missing"], ["files-changed"], ["files-changed"]]
    done = installation.apply()
    assert done[-1] == ["python-3.13.2", "stopped", "openssl-3.5.7", "stopped", "env"] and installation.plan(thorough=True) == GOOD
    # what keeps size and time is seen by a thorough plan, and so is a compiled module
    keep_time(module, MODULE.replace(b"sys", b"abc"))
    assert installation.plan() == GOOD and installation.plan(thorough=True) == [[], [], ["files-other-content"]]
    installation.apply(thorough=True)
    keep_time(module.parent / "__pycache__/module.pyc", b"COMPILED")
    assert installation.plan(thorough=True) == [[], [], ["files-other-content"]]
    assert installation.apply(repair=True)[2:] == [["repair-requested"], ["stopped", "env"]]
    assert installation.plan(thorough=True) == GOOD


def test_the_python_of_another_version_and_its_server_stay(installation: Installation) -> None:
    """An upgrade has failed after it installed this Python, and then a file of it is damaged."""
    other, cache = installation.programs / "python-3.12.10", host_path(installation.place.state / "cache")
    server = installation.programs / "env-3.12.10-dddddddd"
    server.mkdir()
    (server / "pyvenv.cfg").write_text(f"home = {host_path(other)}\n")
    lines = f"folder '{host_path(other)}'", f"bundle '{cache}\\other.exe'", f"bundle '{cache}\\python.zip'"
    installation.place.run("$Run.Step = 'python'; " + "; ".join(f"Save-Before {line} $null" for line in lines))
    (installation.programs / "python-3.13.2/Lib/os.py").unlink()
    runs = f"function Get-ServerProgram {{ '{host_path(server)}\\Scripts\\python.exe' }}; {UNINSTALLS}"
    assert installation.run("python -Apply", before=runs) == [["files-missing"], ["python-3.13.2", "python.zip"]]
    record = (installation.place.state / "record.jsonl").read_text()
    assert "other.exe" in record and "python.zip" not in record


def test_another_approved_download_of_the_same_version_is_installed(installation: Installation) -> None:
    for name in ("python", "openssl"):
        installation.settings[name]["sha256"] = "d" * 64
    assert installation.plan() == [["other-download"], ["other-download"], []]
    assert installation.apply()[-1] == ["python-3.13.2", "stopped", "openssl-3.5.7"] and installation.plan() == GOOD


NO_SPACE = "function Expand-Zip([string]$File, [string]$Folder) { [void][IO.Directory]::CreateDirectory($Folder); throw 'no space' }"
NO_MOVE = "function Complete-Download { throw 'no move' }"
NO_BUNDLE = f"{UNINSTALLS}; function Install-PythonBundle([string]$Folder) {{ [void][IO.Directory]::CreateDirectory($Folder); throw 'exit code 1603' }}"


@pytest.mark.parametrize(
    ("part", "kind", "fault", "words"),
    [
        ("python", "zip", NO_SPACE, "no space"),
        ("python", "zip", NO_MOVE, "no move"),
        ("python", "exe", NO_BUNDLE, "exit code 1603"),
        ("openssl", "zip", NO_SPACE, "no space"),
        ("openssl", "zip", NO_MOVE, "no move"),
    ],
)
def test_a_repair_that_fails_keeps_what_was_there(installation: Installation, part: str, kind: str, fault: str, words: str) -> None:
    """The server runs from a damaged Python as well."""
    folder = installation.programs / f"{part}-{SETTINGS[part]['version']}"  # type: ignore[index]
    left, damaged = {"python": ("python.exe", "Lib/os.py"), "openssl": ("openssl.exe", "libcrypto.dll")}[part]
    (folder / damaged).unlink()
    installation.settings[part]["kind"] = kind
    if kind == "exe":
        installation.place.run(f"$Run.Step = 'python'; Save-Before bundle '{host_path(installation.place.state)}\\cache\\python.zip' $null")
    with pytest.raises(EngineError, match=words):
        installation.run(f"{part} -Apply", before=fault)
    assert (folder / left).read_bytes() == b"MZ" and not list(installation.programs.glob("*.replaced"))
    installation.settings[part]["kind"] = "zip"
    assert installation.run(f"{part} -Apply")[0] == ["files-missing"] and (folder / damaged).exists() and installation.plan() == GOOD


def test_an_openssl_package_that_fails_leaves_the_previous_one(installation: Installation) -> None:
    cache = installation.place.state / "cache"
    cache.mkdir(exist_ok=True)
    (cache / "old.msi").write_bytes(b"")
    installs = """
$Run.Step = 'openssl'
Save-Before msi "$CacheFolder\\old.msi" $null
$Restore.msi = { param($File) $Log.Add("removed $(Split-Path -Leaf $File)") }
function Install-Msi([string]$File) {
    Save-Before msi $File $null
    $Log.Add("installed $(Split-Path -Leaf $File)")
    if ($File -like '*new.msi') { throw 'exit code 1603' }
}
try { Install-OpenSslPackage "$CacheFolder\\new.msi" } catch { $Log.Add("$_") }
"""
    assert installation.run(before=installs) == [["removed old.msi", "installed new.msi", "installed old.msi", "exit code 1603"]]


def test_a_python_without_its_program_is_installed_again(installation: Installation) -> None:
    (installation.programs / "python-3.13.2/python.exe").unlink()
    assert installation.apply() == [["python"], [], [], ["python-3.13.2", "stopped"]] and installation.plan() == GOOD


def test_what_others_add_is_a_warning(installation: Installation, session: Session) -> None:
    caches = installation.programs / "python-3.13.2/Lib/__pycache__"
    caches.mkdir()
    (caches / "os.pyc").write_bytes(b"an administrator ran this Python")
    assert installation.plan(thorough=True) == GOOD and "files-added" not in "".join(session.run("Get-Said"))
    kernel = installation.environment / "share/jupyter/kernels/other/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_bytes(b"{}")
    assert installation.plan() == GOOD and "".join(session.run("Get-Said")).count('"files-added"') == 1
    kernel.unlink()
    (caches.parent / "sitecustomize.py").write_bytes(b"x")
    assert installation.plan() == GOOD
    (warned,) = [json.loads(line) for line in session.run("Get-Said") if '"warning"' in line]
    assert warned["code"] == "program-files-added" and warned["values"]["folder"] == host_path(caches.parents[1])


def test_packages_that_a_person_changed_are_named_and_an_apply_restores_the_lock(installation: Installation, session: Session) -> None:
    site = installation.environment / SITE
    (site / "small-1.0.dist-info").rename(site / "Small-1.1.dist-info")
    (site / "other_Package-2.0.dist-info").mkdir()
    (site / "other_Package-2.0.dist-info/METADATA").write_bytes(b"")
    assert installation.plan()[2][:2] == ["package-changed", "package-added"]
    assert "files-added" not in "".join(session.run("Get-Said")), "an added package is a difference"
    assert installation.apply()[-1] == ["stopped", "env"] and installation.plan(thorough=True) == GOOD
    (site / "small-1.0.dist-info/RECORD").unlink()
    (site / "small-1.0.dist-info").rmdir()
    site.rename(f"{site}.moved")
    assert "files-missing" in installation.plan()[2], "not even the folder of the packages is left"
    Path(f"{site}.moved").rename(site)
    for number in range(10):
        (site / f"x{number}-1.dist-info").mkdir()
    assert installation.plan()[2][:11] == ["package", *["package-added"] * 9, "packages-changed"]


def test_what_an_earlier_release_installed_gets_its_lists(installation: Installation) -> None:
    lists = installation.place.state / "installed"
    for file in lists.iterdir():
        file.unlink()
    assert installation.plan() == installation.plan(thorough=True) == [["files-not-listed"]] * 3, "nothing is called damaged"
    assert installation.apply()[-1] == [] and installation.plan(thorough=True) == GOOD, "nothing was installed again"
    for file in lists.iterdir():
        file.unlink()
    keep_time(installation.environment / SITE / "small/module.py", MODULE.replace(b"sys", b"abc"))
    assert installation.plan(thorough=True)[2] == ["files-not-listed", "files-other-content"], "RECORD knows its hash"
    assert installation.apply()[-1] == ["stopped", "env"] and installation.plan(thorough=True) == GOOD
