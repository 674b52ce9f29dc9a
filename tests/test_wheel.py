"""The wheel, as people install it: it needs no checkout, and renders the same bytes."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import golden
from tests.checkout import CHECKOUT, SOURCE

ROOT = CHECKOUT
SOURCES = ("installer", "ps_scripts", "linux_scripts", "setup.cfg", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md")
HEAVY = frozenset("pypsrp spnego requests pydantic rich cryptography PIL keyring winrm websocket tomlkit".split())
CONFIGURATION = ("PIP_", "UV_", "SSL_CERT", "REQUESTS_CA", "HTTP", "http", "NO_PROXY", "no_proxy")
SECONDS = 600


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
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:  # a copy: a build in the checkout would leave files there, and find those of an earlier one
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    isolation = ["--no-build-isolation"] if _has_setuptools() else []
    _run([*pip, "wheel", "--no-deps", *isolation, "-w", str(folder), str(source)], folder, check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    _run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], folder, check=True)
    # Behind the environment's own packages; an editable install of the checkout is not followed from there.
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installed(wheel, environment, elsewhere)


def _has_setuptools() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


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


def test_it_renders_the_golden_files(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("render", "*", "-i", str(golden.INVENTORY), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    rendered = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert rendered == golden.files()
    assert installed.run("render", "*", "-i", str(golden.INVENTORY), "-o", str(tmp_path / "out"), "--check").returncode == 0


def test_help_imports_nothing_heavy(installed: Installed) -> None:
    done = installed.run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0 and "render" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "nbserver.cli" in imported and "click" in imported
    assert not {name for name in imported if name.partition(".")[0] in HEAVY}


def test_a_mistake_is_told_without_a_traceback(installed: Installed) -> None:
    done = installed.run("render", "*", "-i", "missing.toml", "-o", "out")
    assert done.returncode == 2
    assert "missing.toml" in done.stderr and "Traceback" not in done.stderr
    assert not (installed.elsewhere / "out").exists()
