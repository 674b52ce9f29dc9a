"""A Windows host that is set up over SSH: the command line as a person uses it, with small wheels."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.run import site_salt
from nbserver.run.notebook_password import hash_password
from tests import canary
from tests.boxes import windows_powershell
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_powershell import powershell_on
from tests.boxes.windows_ssh import WindowsSshd
from tests.faults.small_packages import use_lock, write_index
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps
from tests.windows_story import EVIDENCE

PASSWORD = "Canary-Windows-Tr0ub4dor"
NOTEBOOK_PASSWORD = "Canary-Notebook-\u00e9"


class SshSite(Site):
    """A site whose host is reached over SSH."""

    def __init__(self, folder: Path, server: WindowsSshd, mirror: Mirror, index: str) -> None:
        self.folder, self.server, self.mirror, self.port = folder, server, mirror, free_port()
        self.secrets = {"WINDOWS_PASSWORD": PASSWORD, "NOTEBOOK_PASSWORD": NOTEBOOK_PASSWORD}
        self.settings = {
            "system": "windows",
            "transport": "ssh",
            "address": "127.0.0.1",
            "port": server.port,
            "host_key": server.fingerprint,
            "user": server.user,
            "password.env": "WINDOWS_PASSWORD",
            "catalog": "site-catalog.toml",
            "packages.index_url": index,
            "notebook.port": self.port,
            "notebook.password.env": "NOTEBOOK_PASSWORD",
        }
        mirror.write_catalog(folder / "site-catalog.toml")
        self.write()


@pytest.fixture
def server(windows_host: WindowsBox) -> Iterator[WindowsSshd]:
    if words := windows_powershell.missing():
        pytest.skip(words)
    with powershell_on(windows_host), WindowsSshd(windows_host, user="EXAMPLE\\anna", password=PASSWORD) as made:
        yield made


@pytest.fixture
def site(server: WindowsSshd, mirror: Mirror, tmp_path: Path) -> Iterator[SshSite]:
    mirror.behave()
    lines = write_index(tmp_path / "index", mirror)
    with served(tmp_path / "index") as url:
        made = SshSite(tmp_path, server, mirror, url)
        use_lock(tmp_path, mirror, lines)
        site_salt.ensure(tmp_path / "nbserver.salt")
        yield made


def without_times(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in event.items() if key not in ("time", "run")} for event in events]


def test_a_plan(site: SshSite, server: WindowsSshd) -> None:
    """The bytes that were recorded ran, and no secret was in a command line."""
    done = site.run("plan", "win1")
    assert done.returncode == 4, done.stdout + done.stderr
    events = site.last_events()
    assert steps(events, "difference") and events[-1]["outcome"] == "ok"
    script = (site.runs()[-1] / "win1" / "script.ps1").read_bytes()
    assert events[0]["script_sha256"] == hashlib.sha256(script).hexdigest()
    argon2 = hash_password(NOTEBOOK_PASSWORD, site_salt.read(site.folder / "nbserver.salt"))
    assert base64.b64encode(script) in server.received[-1] and any(form in decoded(server.received[-1]) for form in canary.forms(argon2))
    for secret in (PASSWORD, NOTEBOOK_PASSWORD, argon2):
        assert not any(form in command.encode() for command in server.commands for form in canary.forms(secret))


def decoded(received: bytes) -> bytes:
    """The lines of Base64 in what a bootstrap received."""
    return b"\n".join(base64.b64decode(line) for line in received.splitlines()[1:-1])


@pytest.mark.second_tier("runs three scripts on a Windows host")
def test_a_check_and_a_plan_say_what_they_say_over_psrp(site: SshSite, windows_host: WindowsBox) -> None:
    done = site.run("check", "win1", "--json")
    (host,) = json.loads(done.stdout.splitlines()[-1])["hosts"].values()
    found = {finding["name"]: finding["state"] for finding in host["findings"]}
    assert list(found)[:3] == ["port", "host_key", "logon"] and {found["rights"], found["language_mode"]} == {"ok"}, found
    site.run("plan", "win1")
    over_ssh = site.last_events()
    with windows_host.endpoint(auth=["negotiate"], password=PASSWORD) as endpoint:
        site.write(transport="psrp", port=endpoint.port, user=endpoint.user, host_key=None, tls=False)
        assert site.run("plan", "win1").returncode == 4
    assert without_times(over_ssh) == without_times(site.last_events())


@pytest.mark.second_tier("installs a Windows host")
def test_the_life_of_a_host(site: SshSite, server: WindowsSshd, windows_host: WindowsBox) -> None:
    """Stopped in the middle, then cut off in the middle, with downloads from the workstation, and notebooks in both directions."""
    before = seen(windows_host)
    done = site.interrupt("apply", "win1", when=lambda events: "python" in steps(events, "started"))
    events = site.last_events()
    assert done.returncode == 3 and "stopped" in done.stdout, done.stdout + done.stderr
    assert "ie_esc" in steps(events, "restored") and (events[-1]["event"], events[-1]["outcome"]) == ("finished", "stopped")
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))

    done = site.run("download", "win1", "-o", "bundle")
    assert done.returncode == 0, done.stdout + done.stderr
    site.settings |= {"downloads.source": "push", "downloads.bundle": "bundle"}
    site.write(packages__index_url=None)
    runs, cut = len(site.runs()), threading.Event()

    def look() -> None:
        if len(site.runs()) > runs and "openssl" in steps(site.last_events(), "started") and not cut.is_set():
            cut.set()
            server.drop()

    done = site.watch("apply", "win1", look=look)
    assert cut.is_set() and done.returncode == 0, done.stdout + done.stderr
    events = site.last_events()
    assert [event["n"] for event in events] == list(range(1, len(events) + 1)), "all events, also those of the time without connection"
    assert {"python", "openssl", "packages"} <= {*steps(events, "changed")}
    done = site.run("apply", "win1")
    assert done.returncode == 0 and not steps(site.last_events(), "changed"), done.stdout + done.stderr

    lesson = site.folder / "lessons" / "\u96ea.ipynb"
    lesson.parent.mkdir()
    lesson.write_bytes(os.urandom(300_000))
    for command in (("push", "lessons", "win1"), ("pull", "win1", "work")):
        done = site.run("notebooks", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (site.folder / "work" / "win1" / lesson.name).read_bytes() == lesson.read_bytes()

    done = site.run("undo", "win1")
    assert done.returncode == 0, done.stdout + done.stderr
    after = seen(windows_host)
    assert {key: value for key, value in after.items() if key != "files"} == {key: value for key, value in before.items() if key != "files"}
    assert [name for name in after["files"].keys() ^ before["files"].keys() if not name.startswith("ProgramData/nbserver")] == []


def seen(host: WindowsBox) -> dict[str, Any]:
    """What this project may change there, apart from what stays: evidence and notebooks."""
    found = host.snapshot(except_=EVIDENCE)
    found["acl"] = {path: sddl for path, sddl in found["acl"].items() if not path.startswith(r"C:\ProgramData\nbserver")}
    return found
