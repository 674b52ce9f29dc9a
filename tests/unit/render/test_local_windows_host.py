"""The script of this machine, where it is a Windows one."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.base.errors import UsageError
from nbserver.catalog import reader as catalog
from nbserver.commands import render
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.render import own_python
from nbserver.render.render import render_all
from tests.formats import validate

FOLDER = "C:\\Users\\Zo\u00eb O'Neill\\AppData\\Local\\Programs\\Python\\Python313"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python says of itself on Windows, where this is not one."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "base_prefix", FOLDER)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "win-amd64")
    monkeypatch.setattr(sysconfig, "get_python_version", lambda: "3.13")


@pytest.mark.usefixtures("windows")
def test_the_script_is_for_the_python_that_runs_nbserver() -> None:
    ((found, _),) = render_all([LocalWindowsHost()])
    settings = found.settings
    validate("settings", settings)
    assert settings["python"] == {"kind": "present", "folder": FOLDER, "version": "3.13", "executable": ["python.exe"]}
    assert (settings["scope"], settings["openssl"], settings["vc_redist"], settings["host"]) == ("user", None, None, "local")
    assert settings["notebook"] == {
        "directory": "%USERPROFILE%\\notebooks",
        "collaboration": False,
        "cull_idle_seconds": 0,
        "interface": "notebook",
        "language": "en",
        "ip": "127.0.0.1",
        "port": 9999,
        "session": 12,
    }
    assert settings["certificate"]["names"] == ["localhost", "127.0.0.1", "::1"] and settings["architecture"] == "x64"
    assert settings["packages"]["lock_sha256"] == catalog.load().lock("3.13", "x64").sha256
    assert "Zo\\u00eb O\\u0027Neill" in found.text and "administrator rights are not needed" in found.text.partition("$Settings")[0]


@pytest.mark.usefixtures("windows")
def test_machine_scope_is_the_script_of_a_windows_host() -> None:
    host = LocalWindowsHost.model_validate(
        {"scope": "machine", "notebook": {"password": {"env": "X"}}, "firewall": {"remote_addresses": ("LocalSubnet",)}}
    )
    ((found, _),) = render_all([host])
    validate("settings", found.settings)
    assert (found.settings["scope"], found.settings["python"]["kind"], found.settings["reboot"]) == ("machine", "exe", "never")
    assert found.settings["openssl"] and found.settings["firewall"] == {"remote_addresses": ["LocalSubnet"]}


@pytest.mark.usefixtures("windows")
def test_it_can_be_rendered_audited_and_compared(tmp_path: Path) -> None:
    files = render.files([LocalWindowsHost()])
    render.write(files, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text("ascii"))
    validate("manifest", manifest)
    assert manifest["hosts"]["local"]["downloads"] == []
    report = "\n".join(audit.audit(tmp_path))
    assert "    no programs" in report and '"kind": "present"' in report and "package manager" not in report


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("place", "name", "value", "words"),
    [
        (sysconfig, "get_platform", lambda: "win32", "is built for win32, for which there are no packages"),
        (
            sysconfig,
            "get_python_version",
            lambda: "3.99",
            "nbserver is running on Python 3.99, but its catalog has no packages.* with one of these Python versions: .*3.13",
        ),
        (
            sys,
            "base_prefix",
            "C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.13_3.13.0_x64__qbz5n2kfra8p0",
            "is from the Microsoft Store",
        ),
    ],
)
def test_a_python_of_which_no_server_can_be_made(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, value: object, words: str
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.raises(UsageError, match=words):
        own_python.this_python(catalog.load())
