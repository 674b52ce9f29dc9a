"""tools/make_wheelhouse.py: what is in a wheelhouse, that it is the same bytes again, and that pip needs nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.package_index import put_wheel
from tools import make_wheelhouse
from tools.make_wheelhouse import PLATFORMS, Platform

WINDOWS, LINUX = PLATFORMS
OWN = f"3.{sys.version_info.minor}"
CP = f"cp3{sys.version_info.minor}"


@dataclass(frozen=True)
class Release:
    """A small lock, the wheel of a release that requires what it pins, and a folder for wheelhouses."""

    lock: str
    wheel: Path
    folder: Path

    def make(self, platform: Platform, *pythons: str, lock: str = "") -> Path:
        return make_wheelhouse.make(lock or self.lock, self.wheel, platform, self.folder, pythons)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    index = folder / "index"
    put_wheel(index, "pure", "1.0")
    for tag in ("cp311-cp311-win_amd64", "cp312-cp312-win_amd64", f"{CP}-{CP}-manylinux2014_x86_64", "cp39-cp39-macosx_11_0_arm64"):
        put_wheel(index, "fast", "2.0", tag=tag)
    put_wheel(index, "only-windows", "1.0")
    put_wheel(index, "backport", "1.0")
    conditions = ("", "", " ; sys_platform == 'win32'", " ; python_full_version < '3.12'")
    lock = "# a comment\n"
    for name, condition in zip(("pure", "fast", "only-windows", "backport"), conditions, strict=True):
        files = sorted((index / name).glob("*.whl"))
        pin = f"{name}=={files[0].name.split('-')[1]}{condition}"
        lock += " \\\n".join([pin, *(f"    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)]) + "\n"
    requires = ("pure", "fast>=2", "only-windows ; sys_platform == 'win32'", "backport ; python_full_version < '3.12'")
    put_wheel(index, "nbserver", "9.9.9", *requires)
    return Release(lock, next(index.rglob("nbserver-*.whl")), folder)


@pytest.fixture(autouse=True)
def no_index(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = " ".join(str(path) for path in (release.folder / "index").iterdir() if path.name != "nbserver")
    for name, value in (("PIP_CONFIG_FILE", os.devnull), ("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", folders)):
        monkeypatch.setenv(name, value)


@pytest.mark.skipif(sys.platform == "win32", reason="installs wheels for Linux")
def test_pip_installs_from_a_wheelhouse_without_a_network(release: Release, tmp_path: Path) -> None:
    made = release.make(LINUX, OWN)
    first = made.read_bytes()
    assert release.make(LINUX, OWN).read_bytes() == first
    with zipfile.ZipFile(made) as packed:
        packed.extractall(tmp_path)
    (house,) = tmp_path.iterdir()
    assert house.name == made.stem == "nbserver-9.9.9-manylinux_x86_64"
    assert not list(house.glob("only_windows*"))
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=house, check=True)
    alone = ["unshare", "--net"] if os.geteuid() == 0 else []
    command = [*alone, sys.executable, "-m", *make_wheelhouse.INSTALL.split(), "--target", str(tmp_path / "there")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        command, cwd=house, env={**environment, "PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name.partition("-")[0] for path in (tmp_path / "there").glob("*.dist-info")} >= {"nbserver", "pure", "fast"}
    assert f".venv/bin/{make_wheelhouse.INSTALL}" in (house / "README.txt").read_text()


def test_a_wheelhouse_has_the_wheels_of_each_python(release: Release) -> None:
    with zipfile.ZipFile(release.make(WINDOWS, "3.11", "3.12")) as packed:
        names = {name.rpartition("/")[2] for name in packed.namelist()}
        lock = packed.read("nbserver-9.9.9-win_amd64/requirements.lock").decode()
    assert names == {
        "README.txt",
        "SHA256SUMS",
        "backport-1.0-py3-none-any.whl",
        "fast-2.0-cp311-cp311-win_amd64.whl",
        "fast-2.0-cp312-cp312-win_amd64.whl",
        "nbserver-9.9.9-py3-none-any.whl",
        "only_windows-1.0-py3-none-any.whl",
        "pure-1.0-py3-none-any.whl",
        "requirements.lock",
    }
    assert "backport==1.0 ; python_full_version < '3.12' \\\n" in lock
    assert f"nbserver==9.9.9 \\\n    --hash=sha256:{hashlib.sha256(release.wheel.read_bytes()).hexdigest()}\n" in lock


def test_a_lock_that_lacks_a_package_makes_no_wheelhouse(release: Release) -> None:
    without = release.lock.partition("only-windows==")[0]
    shutil.rmtree(release.folder / "none", ignore_errors=True)
    with pytest.raises(SystemExit, match="uv pip install"):
        make_wheelhouse.make(without, release.wheel, WINDOWS, release.folder / "none", ["3.12"])
    assert not (release.folder / "none").exists()


def test_a_wheel_with_another_hash_makes_no_wheelhouse(release: Release) -> None:
    with pytest.raises(SystemExit, match="pip download"):
        release.make(WINDOWS, "3.12", lock=f"pure==1.0 \\\n    --hash=sha256:{'0' * 64}\n")


def test_a_line_that_is_not_understood_makes_no_wheelhouse(release: Release) -> None:
    with pytest.raises(SystemExit, match=r"not a pin with hashes: pure==1\.0"):
        release.make(WINDOWS, "3.12", lock="# a comment\npure==1.0\n")
