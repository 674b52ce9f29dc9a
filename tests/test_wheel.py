"""The wheel, as people install it: it needs no checkout, and renders the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbserver import __version__
from tests import golden
from tests.checkout import CHECKOUT, SOURCE
from tools import build_wheel

ROOT = CHECKOUT
HEAVY = frozenset("jinja2 pypsrp spnego requests pydantic rich cryptography PIL keyring winrm websocket tomlkit".split())
CONFIGURATION = ("PIP_", "UV_", "SSL_CERT", "REQUESTS_CA", "HTTP", "http", "NO_PROXY", "no_proxy")
SECONDS = 600
BUILT = 1_700_000_000  # seconds since 1970
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it; its dependencies are those of the environment that runs the tests."""

    wheel: Path
    folder: Path
    elsewhere: Path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`nbserver ARGUMENTS` in a folder that has nothing to do with the project."""
        scripts = self.folder / ("Scripts" if os.name == "nt" else "bin")
        return _run([str(scripts / "nbserver"), *arguments], self.elsewhere, variables=variables)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel.build(ROOT, folder, BUILT)
    (folder / "elsewhere").mkdir()
    return _environment(wheel, folder, wheel)


def _environment(wheel: Path, folder: Path, *wheels: Path) -> Installed:
    """A new virtual environment in which the wheels were installed one after the other."""
    environment = Path(tempfile.mkdtemp(prefix="environment-", dir=folder))
    venv.create(environment, with_pip=False)
    for path in wheels:
        _run([*PIP, "--python", str(_python(environment)), "install", "--no-deps", "--no-index", str(path)], folder, check=True)
    # Behind the environment's own packages; an editable install of the checkout is not followed from there.
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return Installed(wheel, environment, folder / "elsewhere")


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(
    command: list[str], folder: Path, *, check: bool = False, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if os.name == "nt" or name in ("PATH", "HOME", "LANG") or name.startswith(CONFIGURATION)
    }
    kept.pop("PYTHONPATH", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert not check or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def test_it_has_every_script_and_all_data(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        inside = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    package = {path.relative_to(SOURCE): path for path in SOURCE.joinpath("nbserver").rglob("*")}
    scripts = {
        Path("nbserver") / path.relative_to(ROOT): path for path in [*ROOT.glob("ps_scripts/**/*"), *ROOT.glob("linux_scripts/**/*.sh")]
    }
    expected = {
        name.as_posix(): path.read_bytes()
        for name, path in (package | scripts).items()
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside.keys() == expected.keys()
    assert inside == expected


def test_two_builds_are_the_same_bytes(installed: Installed, tmp_path: Path) -> None:
    """Another folder, other times and modes of the files, another umask."""
    source = tmp_path / "another source"
    source.mkdir()
    for name in build_wheel.SOURCES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    for path in source.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    before = os.umask(0o077)
    try:
        other = build_wheel.build(source, tmp_path / "out", BUILT)
    finally:
        os.umask(before)
    assert other.read_bytes() == installed.wheel.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="needs the programs of coreutils")
def test_what_a_run_says_about_nbserver_can_be_computed_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """By the command of docs/evidence.md."""
    command = (CHECKOUT / "docs" / "evidence.md").read_text("utf-8").partition("    find nbserver ")[2].partition("\n")[0]
    with zipfile.ZipFile(installed.wheel) as wheel:
        wheel.extractall(tmp_path)
    computed = _run(["sh", "-c", f"find nbserver {command}"], tmp_path, check=True).stdout[:64]
    code = "import json; from nbserver.run import release; print(json.dumps(release.fingerprint()))"
    found = json.loads(_run([str(_python(installed.folder)), "-c", code], installed.elsewhere, check=True).stdout)
    assert found == {"files_sha256": computed, "wheel_sha256": hashlib.sha256(installed.wheel.read_bytes()).hexdigest()}


def test_it_renders_the_golden_files(installed: Installed, tmp_path: Path) -> None:
    _renders(installed, tmp_path / "out")
    assert installed.run("render", "*", "-i", str(golden.INVENTORY), "-o", str(tmp_path / "out"), "--check").returncode == 0


def test_uvx_runs_it(installed: Installed) -> None:
    uvx = [sys.executable, "-m", "uv", "tool", "run", "--python", sys.executable, "--from", str(installed.wheel)]
    assert _run([*uvx, "nbserver", "--version"], installed.elsewhere, check=True).stdout.split()[-1] == __version__


@pytest.mark.parametrize("first", ["nbserver", "installer"])
def test_the_package_installer_does_no_harm(installed: Installed, tmp_path: Path, first: str) -> None:
    """There is another package of that name, which other programs depend on: both work in one environment, and the other can go."""
    folder = installed.elsewhere.parent
    if not list(folder.glob("installer-*.whl")):
        _run([*PIP, "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder), "installer"], folder, check=True)
    (other,) = folder.glob("installer-*.whl")
    both = _environment(installed.wheel, folder, *([installed.wheel, other] if first == "nbserver" else [other, installed.wheel]))
    works = "import installer.utils, nbserver; print(installer.__version__, nbserver.__version__)"
    assert _run([str(_python(both.folder)), "-c", works], tmp_path, check=True).stdout.split() == [other.name.split("-")[1], __version__]
    _renders(both, tmp_path / "beside")
    _run([*PIP, "--python", str(_python(both.folder)), "uninstall", "-q", "-y", "installer"], folder, check=True)
    _renders(both, tmp_path / "alone")


def _renders(installed: Installed, out: Path) -> None:
    assert installed.run("--version").stdout.split()[-1] == __version__
    done = installed.run("render", "*", "-i", str(golden.INVENTORY), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == golden.files()


def test_help_imports_nothing_heavy(installed: Installed) -> None:
    done = installed.run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0 and "render" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "nbserver.cli.program" in imported and "click" in imported
    assert not {name for name in imported if name.partition(".")[0] in HEAVY}


def test_a_mistake_is_told_without_a_traceback(installed: Installed) -> None:
    done = installed.run("render", "*", "-i", "missing.toml", "-o", "out")
    assert done.returncode == 2
    assert "missing.toml" in done.stderr and "Traceback" not in done.stderr
    assert not (installed.elsewhere / "out").exists()
