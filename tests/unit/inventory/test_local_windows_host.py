"""What an inventory may say about this machine, where it is a Windows one."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory import reader
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.reader import own_inventory

FOLDER = "C:\\Users\\Zo\u00eb O'Neill\\AppData\\Local\\Programs\\Python\\Python313"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python says of itself on Windows, where this is not one."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "base_prefix", FOLDER)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "win-amd64")
    monkeypatch.setattr(sysconfig, "get_python_version", lambda: "3.13")


def load(folder: Path, text: str) -> LocalWindowsHost:
    path = folder / "nbserver.toml"
    path.write_text(f"[hosts.local]\n{text}\n", encoding="utf-8")
    found = reader.load_for(path, ["local"]).local
    assert isinstance(found, LocalWindowsHost)
    return found


# ---- settings


@pytest.mark.usefixtures("windows")
def test_local_needs_no_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    found = reader.load_for(Path("nbserver.toml"), ["local"])
    assert found.select(["LOCAL"]) == [LocalWindowsHost()] and found.path == tmp_path / "Local" / "nbserver.toml"
    monkeypatch.delenv("LOCALAPPDATA")
    assert own_inventory("win32") == Path.home() / "AppData" / "Local" / "nbserver.toml"
    assert own_inventory("linux") == Path.home() / ".local" / "state" / "nbserver.toml"


@pytest.mark.usefixtures("windows")
def test_its_own_table(tmp_path: Path) -> None:
    host = load(tmp_path, r"notebook.directory = 'D:\My notebooks'" + '\nnotebook.ip = "*"\npackages.installer = "pip"')
    assert (host.notebook.directory, host.notebook.ip, host.notebook.port, host.packages.installer, host.scope) == (
        "D:\\My notebooks",
        "*",
        9999,
        "pip",
        "user",
    )
    host = load(tmp_path, 'scope = "machine"\nnotebook.password = { env = "X" }\npython.version = "3.12"\nskip = ["path"]')
    assert (host.notebook.directory, host.reboot, host.python.version) == ("%ProgramData%\\nbserver\\notebooks", "never", "3.12")


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('user = "anna"', 2, "[hosts.local] user: unknown key"),
        ('openssl.version = "3.5"', 1, 'openssl: requires scope = "machine"'),
        ('skip = ["path"]', 1, 'skip: requires scope = "machine"'),
        ('python.version = "3.12"', 1, 'python: with scope = "user", the notebook server uses the Python that runs nbserver'),
        ('scope = "machine"', 1, 'notebook.password: this key is required if scope = "machine"'),
        ('notebook.directory = "~/notebooks"', 2, "must be a Windows path such as"),
        ('notebook.directory = "C:"', 2, "must have a backslash after the drive"),
        ('system = "linux"', 2, "unknown value"),
        ('packages.source = "wheels"', 2, "packages.source: unknown key"),
        ("certificate.request = true", 2, "certificate.request: unknown key"),
        ('reboot = "if-needed"', 2, "reboot: unknown key"),
        ('notebook.password = "geheim"', 2, "notebook.password"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InventoryError) as error:
        load(tmp_path, text)
    assert words in str(error.value) and f"nbserver.toml:{line}:" in str(error.value) and "geheim" not in str(error.value)


# ---- the script


# ---- the transport


# ---- status and stop
