"""`nbserver catalog update` as a process of its own: what only the system can do to it, and what its start may cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import PYTHON_PATH, SOURCE
from tests.publishers import Site, openssl_entry, openssl_index, publishers, python_entry, python_index

NO_FILES = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell with ulimit")
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with publishers(tmp_path_factory.mktemp("publishers")) as site:
        site.publish()
        assert run(site, tmp_path).returncode == 0
        (tmp_path / "site.toml").chmod(0o640)
        before = (tmp_path / "site.toml").read_bytes()
        site.publish(python_index(python_entry("3.14.10"), python_entry("3.13.16")), openssl_index(openssl_entry("3.5.9", size=6100000)))
        done = run(site, tmp_path, *NO_FILES)
        assert done.returncode == 2
        assert "site.toml: could not write the file (File too large)" in done.stderr and "Traceback" not in done.stderr
        assert (tmp_path / "site.toml").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]
        assert run(site, tmp_path).returncode == 0
    assert (tmp_path / "site.toml").read_bytes() != before
    assert (tmp_path / "site.toml").stat().st_mode & 0o777 == 0o640


def run(site: Site, folder: Path, *through: str) -> subprocess.CompletedProcess[str]:
    """The update of a folder's site.toml from the site's indexes, with no proxy; `through` comes before the command."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    mirrored = ["--base-url-python", f"{site.url}python/", "--openssl-index", f"{site.url}openssl.json", "--ca-file", str(site.ca_file)]
    return subprocess.run(
        [*through, sys.executable, "-m", "nbserver", "catalog", "update", "-o", "site.toml", *mirrored],
        cwd=folder,
        env={**kept, "PYTHONPATH": PYTHON_PATH, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = {"requests", "pydantic", "tomlkit", "urllib3", "cryptography"}
    for arguments in (["--help"], ["catalog", "--help"], ["catalog", "update", "--help"]):
        code = f"import sys; from nbserver.cli.program import cli; cli.main({arguments!r}, standalone_mode=False); print(sorted({heavy!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("[]\n")
        assert f"Usage: {' '.join(['-c', *arguments[:-1]])} [OPTIONS]" in done.stdout
