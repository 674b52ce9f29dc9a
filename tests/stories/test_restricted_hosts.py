"""Hosts that let PowerShell do less: Constrained Language Mode, and AllSigned. Each says so itself, in one message."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbserver.commands.signing import Signer
from tests.boxes.mirror import Mirror
from tests.boxes.no_state_folder import no_state_folder, powershell
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, pwsh_command, windows_path
from tests.boxes.winrm.endpoint import Endpoint
from tests.code_signing import signer
from tests.ports import free_port
from tests.site import Site
from tests.tier import points

__all__ = ["signer"]

PASSWORD = "Tr0ub4dor"
CONSTRAINED = "PowerShell runs in ConstrainedLanguage mode"
TODO = "application control policy of this host (WDAC or AppLocker)"
POLICIES = r"HKLM:\SOFTWARE\Policies\Microsoft\PowerShellCore"


@pytest.fixture(scope="module")
def constrained(windows_host: WindowsBox) -> Iterator[Endpoint]:
    """Without the stand-ins: they could not be loaded there, and nothing asks for them."""
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, startup=None, language="ConstrainedLanguage") as endpoint:
        yield endpoint


def make_site(endpoint: Endpoint, mirror: Mirror, folder: Path, transport: str) -> Site:
    mirror.behave()
    site = Site(folder, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="correct horse")
    site.settings |= {"auth": "basic", "transport": transport}
    site.write()
    return site


def told(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(event["n"], event["event"]) for event in events]


@pytest.mark.parametrize("command", ["plan", "apply", "undo"])
@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_constrained_language_is_one_message(
    constrained: Endpoint, mirror: Mirror, tmp_path: Path, windows_host: WindowsBox, transport: str, command: str
) -> None:
    site = make_site(constrained, mirror, tmp_path, transport)
    done = site.run(command, "win1")
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert f"{CONSTRAINED}" in said and TODO in said and "Traceback" not in said
    assert told(site.last_events()) == [(1, "failed"), (2, "finished")]
    summary = json.loads((site.runs()[-1] / "summary.json").read_text("utf-8"))["hosts"]["win1"]
    assert (summary["outcome"], summary["changed"], summary["steps"]) == ("failed", 0, {})
    assert summary["error"].count(CONSTRAINED) == 1
    assert not windows_host.path(r"C:\ProgramData\nbserver\runs" + "\\" + site.runs()[-1].name).exists()


@pytest.mark.parametrize("mode", ["test", "apply", "undo"])
def test_constrained_language_by_hand_ends_with_3(
    windows_host: WindowsBox, constrained: Endpoint, mirror: Mirror, tmp_path: Path, mode: str
) -> None:
    site = make_site(constrained, mirror, tmp_path, "psrp")
    assert site.run("render", "win1", "-o", "rendered").returncode == 0
    done = subprocess.run(
        [
            pwsh_command(),
            *constrained.configuration,
            "-NoLogo",
            "-NoProfile",
            "-File",
            windows_path(site.folder / "rendered" / "win1.ps1"),
            "-Mode",
            mode,
        ],
        env=environment(windows_host.prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    assert done.returncode == 3, done.stdout
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert told(events) == [(1, "failed"), (2, "finished")]
    assert CONSTRAINED in events[0]["text"] and TODO in events[0]["text"] and events[1]["outcome"] == "failed"


def test_a_signed_script_runs_by_hand(
    windows_host: WindowsBox, constrained: Endpoint, mirror: Mirror, tmp_path: Path, signer: Signer
) -> None:
    """The engine of the tests does not judge signatures: the block is a comment to it, and CRLF changes nothing."""
    site = make_site(constrained, mirror, tmp_path, "psrp")
    assert site.run("render", "win1", "-o", "plain").returncode == 0
    names = [str(signer.certificate.with_name(name)) for name in ("cert.pem", "key.pem")]
    assert site.run("render", "win1", "-o", "signed", "--sign", names[0], "--sign-key", names[1]).returncode == 0
    told = {}
    with no_state_folder(windows_host):
        for folder in ("plain", "signed"):
            path = site.folder / folder / "win1.ps1"
            command = [pwsh_command(), "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", windows_path(path)]
            done = subprocess.run(
                command, env=environment(windows_host.prefix), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=600, check=False
            )
            events = [json.loads(line) for line in done.stdout.splitlines()]
            assert events[0].get("script_sha256") == hashlib.sha256(path.read_bytes()).hexdigest(), events
            told[folder] = done.returncode, [(event["event"], event["step"], event.get("code")) for event in events]
    assert told["signed"] == told["plain"]


def test_no_language_at_all_is_powershells_own_message(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    """As with JEA: not even the script's first line runs."""
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, startup=None, language="NoLanguage") as endpoint:
        site = make_site(endpoint, mirror, tmp_path, "psrp")
        done = site.run("plan", "win1")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "PowerShell could not run the script: The syntax is not supported by this runspace" in done.stdout + done.stderr


# -- AllSigned


POLICY = (
    f"New-Item -Path '{POLICIES}' -Force; Set-ItemProperty -LiteralPath '{POLICIES}' -Name EnableScripts -Value 1 -Type DWord;"
    f"Set-ItemProperty -LiteralPath '{POLICIES}' -Name ExecutionPolicy -Value AllSigned"
)
# The scope that holds the site's wish, how it comes there, and what to do.
WISHES = {
    "MachinePolicy": (
        POLICY,
        "a group policy allows only signed scripts on this host",
        "Ask the administrator who manages this policy to exempt this host",
    ),
    "CurrentUser": (
        "Set-ExecutionPolicy AllSigned -Scope CurrentUser -Force -ErrorAction SilentlyContinue",
        "this host allows only signed scripts",
        "On this host, run Set-ExecutionPolicy RemoteSigned -Scope CurrentUser",
    ),
}


@contextmanager
def all_signed(host: WindowsBox, scope: str) -> Iterator[Endpoint]:
    """The stand-ins are not signed, so sessions go without."""
    with no_state_folder(host):
        powershell(host, WISHES[scope][0])
        try:
            with host.endpoint(auth=["basic"], https=True, password=PASSWORD, startup=None) as endpoint:
                yield endpoint
        finally:
            powershell(
                host, f"Remove-Item '{POLICIES}' -Recurse -ErrorAction Ignore; Set-ExecutionPolicy Undefined -Scope CurrentUser -Force"
            )


@pytest.mark.parametrize(
    ("transport", "scope"),
    points(
        [(transport, scope) for transport in ("psrp", "winrm") for scope in WISHES],
        ("psrp", "MachinePolicy"),
        ("psrp", "CurrentUser"),
        ("winrm", "MachinePolicy"),
    ),
)
def test_all_signed(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path, transport: str, scope: str) -> None:
    """The bootstrap's -ExecutionPolicy Bypass loses against a group policy, so it refuses that itself; the script does the rest."""
    with all_signed(windows_host, scope) as endpoint:
        site = make_site(endpoint, mirror, tmp_path, transport)
        done = site.run("plan", "win1")
    said = done.stdout + done.stderr
    assert done.returncode == 3 and "Traceback" not in said, said
    if (transport, scope) == ("winrm", "MachinePolicy"):
        assert "a group policy allows only signed scripts (AllSigned). Ask for an exemption for this host" in said
        return
    assert f"{WISHES[scope][1]} (execution policy AllSigned, scope {scope}), but this script is not signed. {WISHES[scope][2]}" in said
    assert [(event["step"], event["event"]) for event in site.last_events()] == [("", "started"), ("preflight", "failed"), ("", "finished")]
