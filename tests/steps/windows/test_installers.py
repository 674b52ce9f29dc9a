"""Publishers' installers on a whole host: their arguments, what was there before, and undo. A small program stands in for them
(tests/boxes/installer.c). Each exit code is in steps/windows/test_installer_codes.py, Windows Installer's own packages in steps/windows/test_openssl.py
and stories/test_windows.py."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import run
from tests.boxes.winrm.endpoint import Endpoint
from tests.checkout import TESTS
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps

COMPILER = "x86_64-w64-mingw32-gcc"
PYTHON = r"HKEY_LOCAL_MACHINE\SOFTWARE\Python"
VC = r"HKEY_LOCAL_MACHINE\SOFTWARE\Wow6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\x64"
INSTALLED_VC = VC.replace("Wow6432Node\\", "")  # of the two views of the registry, the one in which the installer registers
PROGRAMS = r"C:\Program Files\nbserver"
CACHE = r"C:\ProgramData\nbserver\cache"


@dataclass(frozen=True)
class Installers:
    """The three installers: one program, each with bytes of its own at its end. `url` is that of `folder`."""

    folder: Path
    url: str


@pytest.fixture(scope="module")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installers]:
    if not shutil.which(COMPILER):
        pytest.skip(f"installers to be run need {COMPILER} (Debian package gcc-mingw-w64-x86-64)")
    folder = tmp_path_factory.mktemp("installers")
    source = TESTS / "boxes" / "installer.c"
    subprocess.run([COMPILER, "-O1", "-s", "-static", "-o", str(folder / "installer.exe"), str(source)], check=True, timeout=600)
    for name in ("python", "openssl", "vc_redist"):
        (folder / f"{name}.exe").write_bytes((folder / "installer.exe").read_bytes() + name.encode())
    with served(folder) as url:
        yield Installers(folder, url)


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    # An engine that goes on keeps handles to keys that undo deletes, and until they are closed, nobody can create these keys again.
    with windows_host.endpoint(auth=["basic"], https=True, password="Tr0ub4dor", prewarm=1) as endpoint:
        yield endpoint


@pytest.fixture
def site(installers: Installers, endpoint: Endpoint, mirror: Mirror, windows_host: WindowsBox, tmp_path: Path) -> Iterator[Site]:
    """A site whose catalog has installers only; the host is undone afterwards."""
    mirror.behave()
    site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
    site.settings |= {"auth": "basic", "python.kind": "exe", "openssl.kind": "exe"}
    site.write()
    (tmp_path / "site-catalog.toml").write_text(catalog(installers, mirror.lock_file), encoding="utf-8")
    for name in ("installer-codes.txt", "installer-calls.txt"):
        windows_host.path(rf"C:\nbserver-test\{name}").unlink(missing_ok=True)
    before = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    yield site
    assert site.run("undo", "win1").returncode == 0
    after = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    assert {part: after[part] for part in ("files", "registry", "tasks")} == {part: before[part] for part in ("files", "registry", "tasks")}


def catalog(installers: Installers, lock: Path) -> str:
    tables = []
    for name, version, executable in (
        ("python", "3.11.9", "python.exe"),
        ("openssl", "3.5.7", r"bin\openssl.exe"),
        ("vc_redist", "14.44.35211.0", None),
    ):
        digest = hashlib.sha256((installers.folder / f"{name}.exe").read_bytes()).hexdigest()
        tables.append(
            f'[[{name}]]\nversion = "{version}"\narchitecture = "x64"\nkind = "exe"\nurl = "{installers.url}{name}.exe"\nsha256 = "{digest}"\n'
        )
        tables.append(f"executable = '{executable}'\n" if executable else "")
        tables.append("needs_vc_redist = true\n" if name == "openssl" else "")
    defaults = '[defaults]\npython = "3.11"\nopenssl = "3.5.7"\n'
    return f'{defaults}{"".join(tables)}[[lock]]\npython = "3.11"\narchitecture = "x64"\nfile = \'{lock}\'\n'


def codes(host: WindowsBox, *wanted: int) -> None:
    host.path(r"C:\nbserver-test\installer-codes.txt").write_text("".join(f"{code}\n" for code in wanted))


def calls(host: WindowsBox) -> list[str]:
    file = host.path(r"C:\nbserver-test\installer-calls.txt")
    return file.read_text().splitlines() if file.exists() else []


def exists(host: WindowsBox, key: str) -> bool:
    try:
        return bool(host.registry(key))
    except subprocess.CalledProcessError:
        return False


def test_arguments_reboot_and_undo(site: Site, windows_host: WindowsBox) -> None:
    """Where an installer asks for a reboot the run ends, and the next one goes on. The stand-in for Python cannot install
    packages, so that one ends there; the installers have done their work.
    """
    codes(windows_host, 3010, 0, 0)
    done = site.run("apply", "win1")
    assert done.returncode == 3 and "Windows must restart before the run can continue" in done.stdout, done.stdout
    assert steps(site.last_events(), "changed")[-1] == "python" and site.last_events()[-1]["reboot"] is True
    run_folder = rf"C:\ProgramData\nbserver\runs\{site.runs()[-1].name}"
    (first,) = [call for call in calls(windows_host) if CACHE in call]
    done = site.run("apply", "win1")
    assert done.returncode == 3, done.stdout
    events = site.last_events()
    assert {"vc_redist", "openssl"} <= set(steps(events, "changed")) and steps(events, "failed") == ["packages"]
    assert first.split('python.exe" ', 1)[1] == (
        f'/quiet /norestart /log {run_folder}\\python.log InstallAllUsers=1 "TargetDir={PROGRAMS}\\python-3.11.9" '
        "PrependPath=0 AssociateFiles=0 Shortcuts=0 Include_launcher=0 Include_doc=0 Include_test=0"
    )
    run_folder = rf"C:\ProgramData\nbserver\runs\{site.runs()[-1].name}"
    second, third = [call for call in calls(windows_host) if CACHE in call][1:3]
    assert second.split('vc_redist.exe" ', 1)[1] == f"/install /quiet /norestart /log {run_folder}\\vc_redist.log"
    assert third.split('openssl.exe" ', 1)[1] == (
        "/VERYSILENT /SUPPRESSMSGBOXES /NORESTART /RESTARTEXITCODE=3010 /SP- /TASKS=copytobin "
        f'"/DIR={PROGRAMS}\\openssl-3.5.7" /LOG={run_folder}\\inno.log'
    )
    assert exists(windows_host, PYTHON) and exists(windows_host, INSTALLED_VC)
    assert site.run("undo", "win1").returncode == 0
    assert not exists(windows_host, PYTHON) and not exists(windows_host, INSTALLED_VC)
    undone = [call for call in calls(windows_host) if "unins000.exe" in call or "/uninstall" in call]
    assert [("unins000" in call, "vc_redist" in call, "python" in call) for call in undone] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_failure_ends_the_run_with_the_installers_words(site: Site, windows_host: WindowsBox) -> None:
    """Every code of every kind is in steps/windows/test_installer_codes.py."""
    codes(windows_host, 1603)
    done = site.run("apply", "win1")
    assert done.returncode == 3 and "python.exe failed (exit code 1603). If there is a log in" in done.stdout, done.stdout
    assert steps(site.last_events(), "failed") == ["python"] and "ie_esc" in steps(site.last_events(), "restored")


def test_another_running_installer_is_waited_for(site: Site, windows_host: WindowsBox) -> None:
    codes(windows_host, 1618, 0)
    site.run("apply", "win1")
    events = site.last_events()
    assert "python" in steps(events, "changed")
    assert any(event["event"] == "progress" and "another installer" in event["what"] for event in events)


def test_a_newer_visual_c_runtime_is_enough_and_an_older_one_is_replaced_for_good(site: Site, windows_host: WindowsBox) -> None:
    for name, value in (("Installed", 1), ("Major", 14), ("Minor", 51), ("Bld", 1)):
        run(windows_host.prefix, "reg", "add", VC, "/v", name, "/t", "REG_DWORD", "/d", str(value), "/f")
    try:
        site.run("apply", "win1")
        assert "vc_redist" in steps(site.last_events(), "unchanged")
        assert site.run("undo", "win1").returncode == 0
        run(windows_host.prefix, "reg", "add", VC, "/v", "Installed", "/t", "REG_DWORD", "/d", "0", "/f")
        assert site.run("plan", "win1").returncode == 4 and "vc_redist" in steps(site.last_events(), "difference"), "that one is gone"
        run(windows_host.prefix, "reg", "add", VC, "/v", "Installed", "/t", "REG_DWORD", "/d", "1", "/f")
        run(windows_host.prefix, "reg", "add", VC, "/v", "Minor", "/t", "REG_DWORD", "/d", "40", "/f")
        site.run("apply", "win1")
        assert "vc_redist" in steps(site.last_events(), "changed")
        done = site.run("undo", "win1")
        assert "replaced version 14.40.1" in done.stdout and done.returncode == 0
        assert exists(windows_host, INSTALLED_VC), "the newer one stays"
    finally:
        for key in (VC, INSTALLED_VC):
            run(windows_host.prefix, "reg", "delete", key, "/f")


def test_a_registered_python_is_used_when_it_is_the_one_and_refused_when_it_is_not(
    site: Site, windows_host: WindowsBox, installers: Installers
) -> None:
    folder = windows_host.path(r"C:\Python311")
    folder.mkdir()
    branch = rf"{PYTHON}\PythonCore\3.11"
    shutil.copy(installers.folder / "installer.exe", folder / "python.exe")
    run(windows_host.prefix, "reg", "add", rf"{branch}\InstallPath", "/ve", "/d", r"C:\Python311" + "\\", "/f")
    try:
        run(windows_host.prefix, "reg", "add", branch, "/v", "Version", "/d", "3.11.5", "/f")
        done = site.run("plan", "win1")
        assert done.returncode == 3
        assert (
            r'Python 3.11.5 is installed in C:\Python311, and the Python 3.11.9 installer would move it. Set python.version = "3.11.5"'
            in done.stdout
        )
        run(windows_host.prefix, "reg", "add", branch, "/v", "Version", "/d", "3.11.9", "/f")
        done = site.run("plan", "win1")
        assert done.returncode == 4 and r"should be C:\Python311\Scripts" in done.stdout, done.stdout
        assert "python" in steps(site.last_events(), "unchanged")
        # Without its program it is somebody's still: neither changed nor removed.
        (folder / "python.exe").unlink()
        (folder / "theirs.txt").write_text("theirs")
        done = site.run("apply", "win1")
        assert done.returncode == 3 and "python.exe is missing from this folder. Repair or uninstall it" in done.stdout, done.stdout
        assert site.run("undo", "win1").returncode == 0
        assert not calls(windows_host) and [path.name for path in folder.iterdir()] == ["theirs.txt"]
    finally:
        run(windows_host.prefix, "reg", "delete", PYTHON, "/f")
        shutil.rmtree(folder)


def test_what_was_in_the_folder_before_stays(site: Site, windows_host: WindowsBox) -> None:
    """The folder of our own Python was there, and nobody knows why: undo takes the installation away, and no file of theirs."""
    folder = windows_host.path(rf"{PROGRAMS}\python-3.11.9")
    folder.mkdir(parents=True)
    (folder / "theirs.txt").write_text("theirs")
    site.settings["adopt"] = True
    site.write()
    try:
        site.run("apply", "win1")
        assert "python" in steps(site.last_events(), "changed") and (folder / "python.exe").exists()
        assert site.run("undo", "win1").returncode == 0
        assert (folder / "theirs.txt").read_text() == "theirs" and not exists(windows_host, PYTHON)
    finally:
        shutil.rmtree(folder.parent)
