"""What surrounds a host goes wrong: its disk is full, its folders cannot be written, its proxy, mirror or clock is not right.

See stories/test_failures_on_the_way.py and stories/test_failures.py for proxies that refuse a program's download.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run.envelope import Envelope
from nbserver.run.journal import new_run_id
from nbserver.transports.psrp.transport import PsrpTransport
from tests.boxes.mirror import Mirror
from tests.boxes.misbehaviour import Kind
from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_disk import MOUNTED, SmallDisk, small_disk
from tests.faults.small_host import SmallHost
from tests.ports import free_port
from tests.powershell.engine import prelude
from tests.site import Site, steps
from tests.tier import points

TODO = "Free some disk space, then try again"
PASSWORD = "Tr0ub4dor"


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    """32 MB: more than Python's zip, less than what is in it."""
    with small_disk(32 << 20) as found:
        if not found:
            pytest.skip("a full disk needs the right to mount a tmpfs, or a /dev/shm of at most 256 MB")
        yield found


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic", "negotiate"], https=True, password=PASSWORD, one_process=True) as endpoint:
        yield endpoint


@pytest.fixture
def site(endpoint: Endpoint, mirror: Mirror, tmp_path: Path) -> Site:
    mirror.behave()
    return Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="correct horse")


@pytest.fixture
def undone(windows_host: WindowsBox, site: Site) -> Iterator[None]:
    """Afterwards no bracket is open, and undo leaves the host as it was."""
    before = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    yield
    assert windows_host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"] == "dword:00000001"
    site.write()
    done = site.run("undo", "win1")
    assert done.returncode == 0, done.stdout + done.stderr
    after = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    for part in ("registry", "tasks", "firewall", "running", "files"):
        assert after[part] == before[part], part


def fails(site: Site, *words: str) -> list[dict[str, Any]]:
    """An apply that must fail in these words, its events in order to the last. Returns them."""
    done = site.run("apply", "win1")
    said = done.stdout + done.stderr
    assert done.returncode == 3 and "Traceback" not in said, said
    for word in words:
        assert word in said, said
    events = site.last_events()
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "finished" and events[-1]["outcome"] == "failed"
    return events


# -- a full disk, the shipped script


@pytest.mark.usefixtures("undone")
def test_disk_full_while_downloading(site: Site, windows_host: WindowsBox, disk: SmallDisk) -> None:
    """It is told as what it is, not as a bad connection, and what was downloaded leaves the disk."""
    assert site.run("undo", "win1").returncode == 0  # the state folder is there, and no cache
    site.python_path = (MOUNTED,)
    with disk.in_place_of(windows_host.path(r"C:\ProgramData\nbserver\cache")) as cache:
        disk.fill(leave=5 << 20)
        events = fails(site, ".part", TODO)
        assert not list(cache.iterdir())
        assert steps(events, "failed") == ["python"] and "warning" not in [event["event"] for event in events]
        disk.make_room()
        site.mirror.misbehave("missing", "*/openssl*", times=None)
        assert "python" in steps(fails(site, "404"), "changed"), "with room it goes on"


@pytest.mark.usefixtures("undone")
def test_disk_full_while_unpacking(site: Site, windows_host: WindowsBox, disk: SmallDisk) -> None:
    site.write(adopt=True)  # the folder is there before, and the record does not know it
    site.python_path = (MOUNTED,)
    with disk.in_place_of(windows_host.path(r"C:\Program Files\nbserver")) as programs:
        events = fails(site, "python-3.11.9.new", TODO)
        assert steps(events, "failed") == ["python"]
        assert not list(programs.iterdir()), "nothing half unpacked is left"


# -- a full disk, the small script: at any moment of a run


def full_at(host: SmallHost, disk: SmallDisk, gate: int) -> Any:
    """An apply during which the disk becomes full at a gate."""
    host.order("hold", f"gate {gate}")
    with host.running("apply", host.struck) as done:
        host.wait_for_gate(gate)
        disk.fill()
    (ran,) = done
    assert ran.result.outcome == "failed"
    assert [event["n"] for event in ran.events] == list(range(1, len(ran.events) + 1)), "all was heard"
    assert ran.events[-1]["event"] == "finished" and ran.events[-1]["outcome"] == "failed"
    assert host.guard() == "DWord:1" and not host.guard_task(), "the bracket was closed"
    return ran


def goes_on(host: SmallHost, before: dict[str, Any]) -> None:
    """With room again the next run does it all, and undo restores."""
    again = host.run("apply")
    assert again.result.outcome == "ok", again.result.error
    assert host.run("undo").result.outcome == "ok"
    assert host.state() == before


def test_disk_full_while_a_configuration_file_is_written(small_host: SmallHost, disk: SmallDisk) -> None:
    before = small_host.prepare()
    with disk.in_place_of(small_host.ground / "site") as there:
        ran = full_at(small_host, disk, gate=15)
        assert TODO in ran.result.error
        assert not list(there.glob("*.new"))
        assert (there / "old.txt").read_text() == "theirs"
        disk.make_room()
        goes_on(small_host, before)


@pytest.mark.parametrize("gate", points([5, 8, 12], 5, 12))
def test_disk_full_while_events_are_written(small_host: SmallHost, disk: SmallDisk, gate: int) -> None:
    """They reach the orchestrator all the same; what is kept on the host ends with a whole event; the run goes no further."""
    small_host.prepare()
    assert small_host.run("undo").result.outcome == "ok"  # the state folder is there
    before = small_host.state()
    with disk.in_place_of(small_host.state_folder / "runs"):
        ran = full_at(small_host, disk, gate)
        assert "could not write the events of this run to" in ran.result.error and "disk space" in ran.result.error
        told = small_host.events_of(ran.id)
        assert told == ran.lines[: len(told)] and len(told) < len(ran.lines)
        assert "place" not in small_host.applied(ran.id)
        disk.make_room()
        goes_on(small_host, before)


@pytest.mark.parametrize("gate", points([1, 8, 16, 25], 1, 16))
def test_disk_full_where_the_record_is(small_host: SmallHost, disk: SmallDisk, gate: int) -> None:
    """Record, lock, events and copies: nothing is changed that could not be recorded."""
    small_host.prepare()
    assert small_host.run("undo").result.outcome == "ok"
    before = small_host.state()
    with disk.in_place_of(small_host.state_folder.parent):
        ran = full_at(small_host, disk, gate)
        assert TODO in ran.result.error
        refused = small_host.run("apply")
        assert refused.result.outcome == "failed" and TODO in refused.result.error
        disk.make_room()
        goes_on(small_host, before)


# -- a folder that cannot be written


def test_program_data_that_cannot_be_written(site: Site, windows_host: WindowsBox) -> None:
    """No folder can be made there by anybody: it stands for one that is read-only."""
    place = windows_host.path(r"C:\ProgramData")
    site.python_path = (MOUNTED,)
    kept = place.with_name("ProgramData.kept")
    place.rename(kept)
    place.symlink_to("/sys/kernel")  # where not even root makes a folder
    try:
        before = windows_host.snapshot(except_=("ProgramData*",))
        done = site.run("apply", "win1")
        after = windows_host.snapshot(except_=("ProgramData*",))
    finally:
        place.unlink()
        kept.rename(place)
    assert done.returncode == 3 and "Traceback" not in done.stdout + done.stderr
    assert r"could not create C:\ProgramData\nbserver: " in done.stdout and r"can write to C:\ProgramData" in done.stdout
    assert after == before


# -- proxies and mirrors


@pytest.mark.usefixtures("undone")
def test_proxy_that_refuses_packages(site: Site, mirror: Mirror) -> None:
    """With 407, or a page to sign in on: for uv itself, which pip fetches; for what uv fetches; and for a way through to https."""
    todo = "packages.index_url, downloads.proxy"
    inside, outside = mirror.index_url, "https://packages.example.com/simple/"
    cases: list[tuple[str, Kind, str, tuple[str, ...]]] = [
        (inside, "proxy_authentication", "/simple/uv/", ("python.exe exited with code 1", "No matching distribution found for uv==")),
        (inside, "html", "/simple/uv/", ("python.exe exited with code 1", "No matching distribution found for uv==")),
        (inside, "proxy_authentication", "/simple/[!u]*", ("uv.exe exited with code", "407")),
        (inside, "html", "/simple/[!u]*", ("uv.exe exited with code",)),
        (outside, "proxy_authentication", "packages.example.com:443", ("python.exe exited with code 1", "407")),
    ]
    for index_url, kind, path, words in cases:
        mirror.behave()
        mirror.misbehave(kind, path, times=None)
        site.write(downloads__proxy=mirror.url, packages__index_url=index_url, packages__installer="uv")
        events = fails(site, todo, *words)
        assert steps(events, "failed") == ["packages"] and "openssl" in steps(events, "changed") + steps(events, "unchanged")
        asked = mirror.asked("/simple/|:443")
        assert asked and all(request.through_proxy for request in asked), mirror.requests


@pytest.mark.usefixtures("undone")
def test_mirror_that_sends_no_part_of_a_file(site: Site, mirror: Mirror) -> None:
    """Cut in the middle, the download is asked to go on, gets the whole file, and begins anew with it."""
    mirror.misbehave("cut", "*/python-*.zip", after=5_000_000)
    mirror.misbehave("no_range", "*/python-*.zip", times=None)
    mirror.misbehave("missing", "*/openssl*", times=None)
    events = fails(site, "404")
    assert "python" in steps(events, "changed") and steps(events, "failed") == ["openssl"]
    assert [request.range for request in mirror.asked("python-")] == ["", "bytes=5000000-"]
    assert ["was interrupted (" in event["text"] for event in events if event["event"] == "warning" and event["step"] == "python"] == [True]


# -- clocks


def started_at(site: Site, mode: Mode, ahead: timedelta) -> list[dict[str, Any]]:
    """The events of a run of the shipped script, told that the host's clock is this much ahead of the workstation's."""
    host = reader.load(site.folder / "nbserver.toml").hosts["win1"]
    ((script, _),) = render_all([host])
    transport = PsrpTransport(host, PASSWORD, threading.Event())
    envelope = Envelope(mode, new_run_id(), "me", secrets={"notebook.password_hash": "argon2:x"}, time=datetime.now(UTC) - ahead)
    try:
        return [json.loads(line) for line in transport.run(script.text, envelope.lines())]
    finally:
        transport.close()


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("mode", ["test", "apply"])
@pytest.mark.parametrize("days", [365, -365])
def test_clock_that_is_a_year_off(site: Site, mode: Mode, days: int) -> None:
    before = datetime.now(UTC)
    events = started_at(site, mode, timedelta(days=days))
    now = datetime.now(UTC)
    assert [event["event"] for event in events] == ["started", "failed", "finished"] and events[-1]["outcome"] == "failed"
    assert events[1]["step"] == "preflight"
    told = events[1]["text"]
    assert "w32tm /resync" in told and "then try again" in told
    assert any(f"the clock on this host shows {day:%Y-%m-%d}" in told for day in (before, now))  # one of them, at midnight
    assert any(f"but the clock on the workstation shows {day - timedelta(days=days):%Y-%m-%d}" in told for day in (before, now))


@pytest.mark.parametrize(("minutes", "told"), [(10, 1), (-10, 1), (2, 0), (-2, 0)])
def test_clock_that_is_minutes_off(site: Site, minutes: int, told: int) -> None:
    events = started_at(site, "test", timedelta(minutes=minutes))
    assert events[-1]["outcome"] == "ok" and events[-1]["differs"] is True
    assert ["clock" in event["text"] for event in events if event["event"] == "warning"] == [True][:told]


def test_the_orchestrator_tells_the_time(site: Site) -> None:
    """Its clock and the host's are one here, so nothing is said."""
    done = site.run("plan", "win1")
    assert done.returncode == 4 and "clock" not in done.stdout


ANSWERS = r"""
foreach ($inner in (New-Object Security.Authentication.AuthenticationException 'the certificate is not valid'), (New-Object IO.IOException 'reset')) {
    (Get-WebFailure (New-Object Net.WebException 'no secure channel', (New-Object InvalidOperationException 'see inner exception', $inner))).Message
}
"""


def test_refused_certificate_of_a_mirror_names_the_clock(site: Site) -> None:
    """.NET's downloads over TLS do not work under this Wine, so its exceptions are made here, wrapped as a download wraps them."""
    host = reader.load(site.folder / "nbserver.toml").hosts["win1"]
    transport = PsrpTransport(host, PASSWORD, threading.Event())
    before = datetime.now(UTC)
    try:
        refused, reset = transport.run(prelude("run", "record", "events", "files", "hashes", "downloads") + ANSWERS, ["-"])
    finally:
        transport.close()
    days = {f"{day:%Y-%m-%d}" for day in (before, datetime.now(UTC))}
    words = "this host does not trust the server's TLS certificate: the certificate is not valid. The clock on this host shows "
    assert refused.startswith(tuple(f"{words}{day}" for day in days))
    assert reset == "the server did not respond: no secure channel"
