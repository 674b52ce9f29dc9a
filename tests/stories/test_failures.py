"""What goes wrong on a host: one message that says what to do, the right exit code, nothing left open."""

from __future__ import annotations

import hashlib
import signal
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import windows_path
from tests.faults.small_packages import put_uv, write_page
from tests.served import served
from tests.site import Site, steps
from tests.stories.failing import https, ie_esc_is_on, refused, repaired, site  # noqa: F401

# -- on the host, before anything is changed


def test_port_taken_by_another_program(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        said = refused(site, "apply", "win1", code=3)
    assert f"TCP port {site.port} is used by another program" in said and "choose another notebook.port" in said
    assert steps(site.last_events(), "failed") == ["takeover"]


def test_too_little_memory_for_remote_shells(site: Site, windows_host: WindowsBox) -> None:
    quota = windows_host.path(r"C:\nbserver-test\MaxMemoryPerShellMB.txt")
    quota.parent.mkdir(exist_ok=True)
    quota.write_text("512")
    try:
        assert "a memory quota of 512 MB, but at least 1024 MB is required. Run on the host: Set-Item WSMan:" in refused(
            site, "plan", "win1", code=3
        )
    finally:
        quota.unlink()


def test_processor_that_the_inventory_does_not_mean(site: Site) -> None:
    catalog = site.folder / "site-catalog.toml"
    catalog.write_text(catalog.read_text(encoding="utf-8").replace('"x64"', '"arm64"'), encoding="utf-8")
    site.write(architecture="arm64")
    assert "the processor architecture of this host is AMD64, but nbserver expected arm64" in refused(site, "plan", "win1", code=3)


def test_state_folder_that_others_can_read(site: Site, windows_host: WindowsBox) -> None:
    """As any user can make one before the first apply: its access list is the inherited one."""
    folder = windows_host.path(r"C:\ProgramData\nbserver")
    lists = [path for path in windows_host.path(r"C:\nbserver-test\acl").glob("*.json") if r'ProgramData\\nbserver"' in path.read_text()]
    kept = {path: path.read_text() for path in lists}
    existed = folder.exists()
    folder.mkdir(exist_ok=True)
    for path in lists:
        path.unlink()
    try:
        said = refused(site, "apply", "win1", code=3)
    finally:
        if not existed:
            folder.rmdir()
        for path, text in kept.items():
            path.write_text(text)
    assert "contains the data for undo, but is not safe to use: " in said and "has access to C:" in said


def test_pending_reboot_is_told(site: Site, windows_host: WindowsBox) -> None:
    from tests.boxes.wine import run

    key = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"
    run(windows_host.prefix, "reg", "add", key, "/f")
    try:
        done = site.run("plan", "win1")
    finally:
        run(windows_host.prefix, "reg", "delete", key, "/f")
    assert done.returncode == 4, done.stdout
    assert "a restart of Windows is pending (registry key" in done.stdout and "reboot pending" in done.stdout


# -- on the host, in the middle: the brackets are closed, undo restores


@pytest.fixture
def undone(windows_host: WindowsBox, site: Site) -> Iterator[None]:
    """Compares the host before the test with the host after undo."""
    before = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    yield
    assert ie_esc_is_on(windows_host), "the bracket was closed when the run failed"
    site.write()
    done = site.run("undo", "win1")
    assert done.returncode == 0, done.stdout + done.stderr
    after = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    assert {part: after[part] for part in ("registry", "tasks", "firewall", "running")} == {
        part: before[part] for part in ("registry", "tasks", "firewall", "running")
    }
    assert after["files"] == before["files"]


@pytest.mark.usefixtures("undone")
def test_download_through_the_hosts_proxy_is_resumed_and_a_wrong_hash_is_refused(site: Site, windows_host: WindowsBox) -> None:
    site.mirror.write_catalog(
        site.folder / "site-catalog.toml", base="http://downloads.example.com", changes={"openssl": {"sha256": "00" * 32}}
    )
    site.mirror.misbehave("cut", "*/python-*.zip", after=5_000_000)
    site.write(downloads__proxy=site.mirror.url)
    said = refused(site, "apply", "win1", code=3)
    assert "does not match the catalog: expected SHA-256" in said and "00" * 32 in said and "The downloaded file was deleted" in said
    asked = site.mirror.asked("python-")
    assert [bool(request.range) for request in asked] == [False, True] and all(request.through_proxy for request in asked)
    events = site.last_events()
    assert "python" in steps(events, "changed") and steps(events, "failed") == ["openssl"]
    assert "ie_esc" in steps(events, "restored")
    cache = windows_host.path(r"C:\ProgramData\nbserver\cache")
    assert not [path.name for path in cache.iterdir() if "openssl" in path.name.lower()]


@pytest.mark.parametrize(("kind", "words"), [("missing", "404"), ("html", "does not match the catalog"), ("proxy_authentication", "407")])
def test_download_that_cannot_work(site: Site, kind: Any, words: str) -> None:
    site.mirror.misbehave(kind, "*/python-*.zip", times=None)
    said = refused(site, "apply", "win1", code=3)
    assert words in said
    assert steps(site.last_events(), "failed") == ["python"]
    assert site.run("undo", "win1").returncode == 0


def test_two_runs_at_once(site: Site) -> None:
    first = site.start("apply", "win1")
    try:
        wait_until(lambda: bool(site.runs()) and "python" in steps(site.last_events(), "started"))
        run = site.runs()[-1].name
        said = refused(site, "apply", "win1", code=3)
    finally:
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=600)
    assert f"another run is changing this host: run {run}, mode apply, by '" in said
    assert f"To follow that run, run nbserver events {run} win1" in said
    assert first.returncode == 3 and "run the command again to continue" in out, "the first one was not disturbed: " + out + err
    assert site.run("undo", "win1").returncode == 0, "and the lock is free again"


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def test_host_without_ie_esc_gets_none(site: Site, windows_host: WindowsBox) -> None:
    from tests.boxes.wine import run

    kept = windows_host.folder / "ie_esc.reg"
    run(windows_host.prefix, "reg", "export", IE_ESC["administrators"], windows_path(kept), "/y")
    run(windows_host.prefix, "reg", "delete", IE_ESC["administrators"], "/f")
    site.mirror.misbehave("missing", "*/python-*.zip", times=None)
    try:
        refused(site, "apply", "win1", code=3)
        assert IE_ESC["administrators"] not in windows_host.registry(ACTIVE_SETUP)
        assert "ie_esc" not in steps(site.last_events(), "changed")
        assert site.run("undo", "win1").returncode == 0
        assert IE_ESC["administrators"] not in windows_host.registry(ACTIVE_SETUP)
    finally:
        run(windows_host.prefix, "reg", "import", windows_path(kept))


@pytest.mark.usefixtures("undone")
def test_bracket_left_open_by_a_killed_run_is_closed_at_startup(site: Site, windows_host: WindowsBox) -> None:
    killed = []

    def kill_once() -> None:
        runs = site.runs()
        if not killed and runs and "python" in steps(site.events(runs[-1]), "started"):
            site.endpoint.kill_engines()
            killed.append(True)

    done = site.watch("apply", "win1", look=kill_once)
    assert killed and done.returncode == 3, done.stdout + done.stderr
    assert not ie_esc_is_on(windows_host), "nobody was left to close it"
    windows_host.scheduler.boot()
    assert windows_host.scheduler.wait("nbserver-close-ie_esc")
    assert ie_esc_is_on(windows_host)


@pytest.mark.usefixtures("undone")
def test_locked_wheel_without_a_build_for_this_python(site: Site) -> None:
    """With uv, and OpenSSL as a zip."""
    index = site.folder / "index"
    wheel = index / "only-new" / "only_new-1.0-cp312-cp312-win_amd64.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("only_new.py", "")
        archive.writestr("only_new-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: only-new\nVersion: 1.0\n")
        archive.writestr(
            "only_new-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: cp312-cp312-win_amd64\n"
        )
        archive.writestr("only_new-1.0.dist-info/RECORD", "")
    write_page(wheel.parent)
    uv_line = put_uv(index, site.mirror)
    use_lock(site, [f"only-new==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}", uv_line])
    with served(index) as url:
        site.write(packages__index_url=url, packages__installer="uv")
        said = refused(site, "apply", "win1", code=3)
    assert "uv.exe exited with code 1" in said and "only-new" in said and "set a different python.version" in said
    events = site.last_events()
    assert steps(events, "failed") == ["packages"] and "openssl" in steps(events, "changed")


@pytest.mark.usefixtures("undone")
def test_server_that_does_not_start(site: Site, windows_host: WindowsBox) -> None:
    """With pip, a lock that lacks the notebook, and files from the workstation: everything is installed, nothing answers, its log says why."""
    use_lock(site, [line for line in site.mirror.lock_file.read_text().splitlines() if line.startswith("six==")])
    assert site.run("download", "win1", "-o", "bundle").returncode == 0
    site.mirror.behave()
    site.settings |= {"downloads.source": "push", "downloads.bundle": "bundle", "packages.index_url": None}
    site.write(packages__installer="pip")
    said = refused(site, "apply", "win1", code=3)
    assert f"the notebook server is not responding on TCP port {site.port}" in said and "No module named 'jupyter_core'" in said
    events = site.last_events()
    assert steps(events, "failed") == ["check"] and "firewall" in steps(events, "changed")
    assert steps(events, "restored") == ["ie_esc", "ie_esc"]
    assert site.mirror.requests == [], "the host asked nobody"
    (wheel,) = windows_host.path(r"C:\ProgramData\nbserver\downloads").iterdir()
    assert wheel.name.startswith("six-"), "the programs are in the cache by now"


def use_lock(site: Site, lines: list[str]) -> None:
    """Puts a lock of these lines into the site catalog."""
    lock = site.folder / "site.lock.txt"
    lock.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    catalog = site.folder / "site-catalog.toml"
    text = catalog.read_text(encoding="utf-8")
    catalog.write_text(
        text[: text.index("[[lock]]")] + '[[lock]]\npython = "3.11"\narchitecture = "x64"\nfile = "site.lock.txt"\n', encoding="utf-8"
    )
