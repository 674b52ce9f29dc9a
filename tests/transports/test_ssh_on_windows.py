"""The SSH transport on a Windows workstation: CPython for Windows and its wheels, under Wine, to a real sshd."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.run.envelope import Envelope
from tests.boxes.ssh import windows_workstation
from tests.boxes.ssh.fixtures import PASSWORD, sshd, state, user  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, ran_as, small_script
from tests.boxes.ssh.sshd import Sshd, User
from tests.boxes.ssh.windows_workstation import Workstation
from tests.boxes.wine import windows_path


@pytest.fixture(scope="module")
def workstation(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    if windows_workstation.missing():
        pytest.skip(windows_workstation.missing())
    folder = tmp_path_factory.mktemp("workstation")
    made = Workstation(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def job(sshd: Sshd, user: User, state: Path, run: str, **settings: Any) -> dict[str, Any]:
    least = {
        "name": "linux1",
        "system": "linux",
        "address": "127.0.0.1",
        "port": sshd.port,
        "user": user.name,
        "host_key": sshd.fingerprint(),
        "agent": True,
        "key_file": windows_path(user.key),
        "notebook": {"password": {"env": "UNUSED"}},
    }
    script = small_script("linux1", state).text
    return {
        "settings": {**least, **settings},
        "logon": {"sudo_password": PASSWORD},
        "script": script,
        "envelope": Envelope("apply", run).lines(),
    }


def test_a_run_from_windows(workstation: Workstation, sshd: Sshd, user: User, state: Path) -> None:
    """With a key, an agent that is not there, and sudo that wants a password."""
    user.sudo("%u ALL=(root) PASSWD: ALL")
    code, (system, *lines) = workstation.run(job(sshd, user, state, "run-1"))
    assert (code, system) == (0, "win32"), lines
    assert [json.loads(line)["n"] for line in lines] == list(range(1, EVENTS + 1))
    assert ran_as(lines[0])[0] == "root"


def test_refusals_from_windows(workstation: Workstation, sshd: Sshd, user: User, state: Path) -> None:
    code, lines = workstation.run(job(sshd, user, state, "run-2", host_key=None))
    assert (code, lines[:1], len(lines)) == (3, ["win32"], 2), lines
    assert f"is not known on this workstation (ED25519 key fingerprint is {sshd.fingerprint()})" in lines[1]
    code, lines = workstation.run(job(sshd, user, state, "run-3", port=1))
    assert (code, lines[:1], len(lines)) == (3, ["win32"], 2), lines
    assert "127.0.0.1:1 refused the connection." in lines[1]
