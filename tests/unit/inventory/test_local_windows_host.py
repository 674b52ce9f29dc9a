"""`local` on Windows: settings, rendering, places. What is run in a Windows is in transports/test_local_windows.py."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.base.errors import InventoryError, ScriptError, UsageError
from nbserver.catalog import reader as catalog
from nbserver.commands import render, status
from nbserver.inventory import reader
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.reader import own_inventory
from nbserver.local import windows_service
from nbserver.local.places import places
from nbserver.local.windows_process import Process
from nbserver.render import own_python
from nbserver.render.render import render_all
from nbserver.transports.local import windows as local_windows
from nbserver.transports.local.windows import LocalWindowsTransport, environment
from nbserver.transports.transport import StopRequested
from tests.formats import validate

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
        ('openssl.version = "3.5"', 1, 'openssl: it needs scope = "machine"'),
        ('skip = ["path"]', 1, 'skip: it needs scope = "machine"'),
        ('python.version = "3.12"', 1, 'python: with scope = "user" it is that of the Python that runs nbserver'),
        ('scope = "machine"', 1, 'notebook.password: with scope = "machine" it has to be said where it is kept'),
        ('notebook.directory = "~/notebooks"', 2, "it is not absolute"),
        ('notebook.directory = "C:"', 2, "it is not absolute"),
        ('system = "linux"', 2, "it is not one of the allowed values"),
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


def test_a_stop_before_it_begins_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command) or (_ for _ in ()).throw(OSError(2, "not here")))
    stop = threading.Event()
    stop.set()
    opened = LocalWindowsTransport(LocalWindowsHost(), stop)
    with pytest.raises(StopRequested):
        list(opened.run("'begun'", ["mode apply"]))
    assert not started
    with pytest.raises(ScriptError, match="cannot be started"):  # a stop is heard once: how that run ended can be asked
        list(opened.run("'after'", ["mode events"]))
    assert len(started) == 1


# ---- the script


@pytest.mark.usefixtures("windows")
def test_the_script_is_for_the_python_that_runs_nbserver() -> None:
    ((found, _),) = render_all([LocalWindowsHost()])
    settings = found.settings
    validate("settings", settings)
    assert settings["python"] == {"kind": "present", "folder": FOLDER, "version": "3.13", "executable": ["python.exe"]}
    assert (settings["scope"], settings["openssl"], settings["vc_redist"], settings["host"]) == ("user", None, None, "local")
    assert settings["notebook"] == {"directory": "%USERPROFILE%\\notebooks", "ip": "127.0.0.1", "port": 9999, "session": 12}
    assert settings["certificate"]["names"] == ["localhost", "127.0.0.1", "::1"] and settings["architecture"] == "x64"
    assert settings["packages"]["lock_sha256"] == catalog.load().lock("3.13", "x64").sha256
    assert "Zo\\u00eb O\\u0027Neill" in found.text and "administrator rights" not in found.text.partition("$Settings")[0]


@pytest.mark.usefixtures("windows")
def test_machine_scope_is_the_script_of_a_windows_host() -> None:
    host = LocalWindowsHost.model_validate(
        {"scope": "machine", "notebook": {"password": {"env": "X"}}, "firewall": {"remote_addresses": ("LocalSubnet",)}}
    )
    ((found, _),) = render_all([host])
    validate("settings", found.settings)
    assert (found.settings["scope"], found.settings["python"]["kind"], found.settings["reboot"]) == ("machine", "zip", "never")
    assert found.settings["openssl"] and found.settings["firewall"] == {"remote_addresses": ["LocalSubnet"]}


@pytest.mark.usefixtures("windows")
def test_it_can_be_rendered_audited_and_compared(tmp_path: Path) -> None:
    files = render.files([LocalWindowsHost()])
    render.write(files, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text("ascii"))
    validate("manifest", manifest)
    assert manifest["hosts"]["local"]["downloads"] == []
    report = "\n".join(audit.audit(tmp_path))
    assert "nothing by itself" in report and '"kind": "present"' in report and "package manager" not in report


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("place", "name", "value", "words"),
    [
        (sysconfig, "get_platform", lambda: "win32", "is one for win32"),
        (sysconfig, "get_python_version", lambda: "3.99", "there are no packages for Python 3.99.* with a Python .*3.13"),
        (
            sys,
            "base_prefix",
            "C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.13_3.13.0_x64__qbz5n2kfra8p0",
            "that of the Microsoft Store",
        ),
    ],
)
def test_a_python_of_which_no_server_can_be_made(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, value: object, words: str
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.raises(UsageError, match=words):
        own_python.this_python(catalog.load())


# ---- the transport


def test_no_variable_with_a_secret_is_passed_on() -> None:
    own = {
        "SystemRoot": "C:\\Windows",
        "NOTEBOOK_PASSWORD": "geheim",
        "PSModulePath": "x",
        "LOCALAPPDATA": "y",
        "HTTPS_PROXY": "z",
        "Pip_Index_Url": "w",
        "Path": "v",
        "PYTHONPATH": "u",
    }
    found = environment(own, "C:\\Windows")
    assert sorted(found) == ["HTTPS_PROXY", "LOCALAPPDATA", "PATH", "Pip_Index_Url", "SystemRoot"]
    assert found["PATH"] == "C:\\Windows\\System32;C:\\Windows;C:\\Windows\\System32\\Wbem;C:\\Windows\\System32\\WindowsPowerShell\\v1.0"


# ---- status and stop


def test_machine_scope_has_commands_of_windows() -> None:
    host = LocalWindowsHost.model_validate({"scope": "machine", "notebook": {"password": {"env": "X"}}})
    with pytest.raises(UsageError, match="Stop-ScheduledTask nbserver"):
        status.stop(host)


def test_where_nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert status.status(LocalWindowsHost(), as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    validate("stream", found)
    assert (found["by"], found["ok"]) == ("none", False)
    assert status.stop(LocalWindowsHost()) == 0
    assert places(LocalWindowsHost()).process == tmp_path / "nbserver" / "state" / "process"


@pytest.mark.parametrize("text", ["", "x", "12", "12 x", "-1 5", "0 5", "1 0", "12 34 56", "12  34", "12345678901 5", " 12 34"])
def test_a_file_that_names_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "process").write_text(text + "\nwhat it was started for\n")
    assert windows_service.named(tmp_path / "process") is None
    assert windows_service.named(tmp_path / "nothing") is None


def test_a_file_that_names_one(tmp_path: Path) -> None:
    (tmp_path / "process").write_bytes(b"12 134398636016611460\nC:\\caf\xc3\xa9\n")
    found = windows_service.named(tmp_path / "process")
    assert found == Process(12, 134398636016611460) and found.since == pytest.approx(1795390001.66, abs=0.01)


def test_what_was_written_behind_a_write_of_no_bytes_is_read() -> None:
    """It reads like an end, also when the process has ended by then: .NET writes no bytes to a stream before the first ones."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for data in (b"", b"an error", b"", b" and its end"):
        theirs.send(data)
    theirs.close()
    found: queue.Queue[bytes] = queue.Queue()
    with ours, ours.makefile("rb", buffering=0) as stream:
        local_windows._read(process, stream, found, threading.Event())
    assert b"".join(found.queue) == b"an error and its end"
