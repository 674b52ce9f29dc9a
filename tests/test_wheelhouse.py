"""The wheelhouse of this release, installed where there is no network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nbserver import __version__
from tests.checkout import CHECKOUT
from tools import build_wheel, make_wheelhouse

BUILT = 1_700_000_000  # seconds since 1970


@pytest.mark.second_tier("downloads all wheels of requirements.lock")
@pytest.mark.skipif(sys.platform == "win32", reason="installs wheels for Linux")
def test_nbserver_is_installed_without_a_network(tmp_path: Path) -> None:
    wheel = build_wheel.build(CHECKOUT, tmp_path, BUILT)
    lock = make_wheelhouse.LOCK.read_text("ascii")
    windows, linux = (make_wheelhouse.make(lock, wheel, one, tmp_path, make_wheelhouse.PYTHONS) for one in make_wheelhouse.PLATFORMS)
    assert zipfile.is_zipfile(windows)
    with zipfile.ZipFile(linux) as packed:
        packed.extractall(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHONPATH"))}
    alone = ["unshare", "--net"] if os.geteuid() == 0 else []
    command = (
        f"{sys.executable} -m venv .venv && .venv/bin/{make_wheelhouse.INSTALL} && .venv/bin/pip check && .venv/bin/nbserver --version"
    )
    done = subprocess.run(
        [*alone, "sh", "-c", command],
        cwd=linux.with_suffix(""),
        env={**environment, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"version {__version__}" in done.stdout
