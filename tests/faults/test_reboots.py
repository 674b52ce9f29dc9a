"""Reboots that an installer asks for, or that are pending: the run stops with what to do, or restarts Windows and goes on."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from nbserver.run.result import exit_code
from nbserver.transports.winrm.transport import WinrmTransport
from tests.boxes.wine import environment, pwsh_command, windows_path
from tests.boxes.wine import run as wine
from tests.checkout import TESTS
from tests.faults.fixtures import at_once, small_host  # noqa: F401
from tests.faults.small_host import SmallHost
from tests.faults.small_script import small_script
from tests.reboots.rebooting_host import SETUP, SHUTDOWN, STEP_FILES, RebootingHost, guard_is_up

COMPILER = "x86_64-w64-mingw32-gcc"
OVERRIDES = r"HKEY_CURRENT_USER\Software\Wine\DllOverrides"
STEPS = ("guard", "tool", "text")


@pytest.fixture(scope="module")
def rebooting(small_host: SmallHost, at_once: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RebootingHost]:
    if not shutil.which(COMPILER):
        pytest.skip(f"an installer to be run needs {COMPILER} (Debian package gcc-mingw-w64-x86-64)")
    setup = tmp_path_factory.mktemp("installer") / "setup.exe"
    source = TESTS / "boxes" / "installer.c"
    subprocess.run([COMPILER, "-O1", "-s", "-static", "-o", str(setup), str(source)], check=True, timeout=600)
    at_once.setattr("nbserver.run.host_run.RESTART_PAUSE", 0.3)
    shutdown = small_host.windows.path(SHUTDOWN)
    kept = shutdown.read_bytes() if shutdown.exists() else None
    shutdown.unlink(missing_ok=True)
    shutil.copy(setup, shutdown)
    wine(small_host.windows.prefix, "reg", "add", OVERRIDES, "/v", "shutdown.exe", "/d", "native", "/f")  # else Wine runs its own
    yield RebootingHost(small_host, setup)
    wine(small_host.windows.prefix, "reg", "delete", OVERRIDES, "/v", "shutdown.exe", "/f")
    shutdown.unlink()
    if kept:
        shutdown.write_bytes(kept)


@pytest.fixture
def host(rebooting: RebootingHost) -> Iterator[RebootingHost]:
    yield rebooting
    rebooting.small.prepare()
    rebooting.goes_down = rebooting.comes_back = True
    rebooting.look = rebooting.before_boot = lambda: None


def test_never_stops_before_the_next_change_and_says_what_to_do(host: RebootingHost) -> None:
    host.prepare(3010)
    ran = host.run("apply", "never", STEPS)
    assert (ran.result.outcome, ran.result.changed, ran.result.reboot) == ("reboot", 1, True)
    assert exit_code({"win1": ran.result}) == 3
    assert ran.result.error == (
        'win1: Windows must restart before the run can continue. Restart the host, or set reboot = "if-needed" in the inventory. Then run the command again'
    )
    assert ran.result.steps == {"guard": "restored", "tool": "changed"}
    assert not (host.small.ground / "site" / "new.txt").exists() and guard_is_up(host.small)
    assert host.restarts == 0 and not host.calls("shutdown.exe")
    again = host.run("apply", "never", STEPS)
    assert (again.result.outcome, again.result.changed, again.result.reboot) == ("ok", 1, False), "restarted by hand, it goes on"


def test_nothing_left_to_change_needs_no_reboot(host: RebootingHost) -> None:
    """The last installer asked for it: everything is as it should be, and that one is pending is told."""
    host.prepare(3010)
    ran = host.run("apply", "if-needed", ("guard", "tool"))
    assert (ran.result.outcome, ran.result.reboot, host.restarts) == ("ok", True, 0)


def test_if_needed_restarts_and_goes_on(host: RebootingHost) -> None:
    host.prepare(3010)
    before = host.small.state()
    host.look = lambda: guard_is_up(host.small)
    ran = host.run("apply", "if-needed", STEPS)
    assert ran.result.outcome == "ok", ran.result.error
    assert (ran.result.changed, ran.result.reboot, host.restarts) == (2, False, 1)
    assert ran.result.steps == {"guard": "restored", "tool": "changed", "text": "changed"}
    assert host.seen == [True], "the bracket was closed before Windows went down"
    (call,) = host.calls("shutdown.exe")
    assert (
        call.split('shutdown.exe"', 1)[-1].split("shutdown.exe ", 1)[-1].strip()
        == '/r /t 10 /d p:4:2 /c "nbserver: an installer requires a restart"'
    )
    started = [event for event in ran.events if event["event"] == "started" and not event["step"]]
    assert [event["run"] for event in started] == [ran.id, f"{ran.id}-2"]
    assert started[0]["boot"] == "2026-01-05T06:07:08Z" and started[1]["boot"] == "2026-11-22T20:01:00Z"
    finished = [event["outcome"] for event in ran.events if event["event"] == "finished"]
    assert finished == ["reboot", "ok"], "what it answered while it was still going down is not kept"
    for run, first in ((ran.id, 0), (f"{ran.id}-2", ran.events.index(started[1]))):
        lines = host.small.host_events(run).read_text("utf-8").splitlines()
        assert ran.lines[first : first + len(lines)] == lines
    assert guard_is_up(host.small)
    undone = host.run("undo", "if-needed", STEPS)
    assert undone.result.outcome == "ok", undone.result.error
    assert {part: host.small.state()[part] for part in ("registry", "tasks")} == {part: before[part] for part in ("registry", "tasks")}


def test_and_through_a_command_shell(host: RebootingHost) -> None:
    """transport = "winrm": the shell and its script end with Windows."""
    host.prepare(3010)
    ran = host.run("apply", "if-needed", STEPS, way=WinrmTransport)
    assert ran.result.outcome == "ok", ran.result.error
    assert (ran.result.changed, ran.result.reboot, host.restarts) == (2, False, 1)
    assert [event["outcome"] for event in ran.events if event["event"] == "finished"] == ["reboot", "ok"]
    assert guard_is_up(host.small)


def test_pending_before_the_first_change(host: RebootingHost) -> None:
    host.prepare()
    (host.small.ground / "pending").touch()
    before = host.small.state()
    ran = host.run("apply", "never", ("pending", "guard", "text"))
    assert (ran.result.outcome, ran.result.changed, ran.result.reboot) == ("reboot", 0, True)
    assert host.small.state() == before
    host.before_boot = lambda: (host.small.ground / "pending").unlink()
    ran = host.run("apply", "if-needed", ("pending", "guard", "text"))
    assert (ran.result.outcome, ran.result.changed, host.restarts) == ("ok", 1, 1)


def test_a_reboot_that_stays_pending_is_given_up(host: RebootingHost) -> None:
    """What one restart has not ended, a second one does not end: a server goes down once for it, not for each try."""
    host.prepare()
    (host.small.ground / "pending").touch()
    ran = host.run("apply", "if-needed", ("pending", "text"))
    assert (ran.result.outcome, host.restarts, len(host.calls("shutdown.exe"))) == ("reboot", 1, 1)
    assert ran.result.error == (
        r"win1: the run is not finished: Windows must restart again (C:\faults\pending), although it has just restarted. "
        "Find and fix what keeps requiring a restart, such as an update that fails at every start, then try again"
    )
    assert [event["restarting"] for event in ran.events if event["event"] == "finished"] == [True, False]
    assert not (host.small.ground / "site" / "new.txt").exists()


def test_the_last_restart_that_is_allowed_is_the_last(host: RebootingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not go down when nobody comes back for the rest."""
    monkeypatch.setattr("nbserver.run.host_run.RESTARTS", 1)
    host.prepare(3010, 0, 3010)  # tool, shutdown.exe, tool2
    ran = host.run("apply", "if-needed", ("tool", "tool2", "text"))
    assert (ran.result.outcome, ran.result.changed, host.restarts, len(host.calls("shutdown.exe"))) == ("reboot", 2, 1, 1)
    assert (
        ran.result.error
        == "win1: the run is not finished: Windows must restart again, but this run has reached its restart limit. Restart Windows, then try again"
    )


def test_a_request_for_a_certificate_goes_on_after_a_restart(host: RebootingHost) -> None:
    host.prepare(3010)
    ran = host.run("request", "if-needed", ("vc_redist", "openssl"))
    assert (ran.result.outcome, "asked" in ran.result.csr, host.restarts) == ("ok", True, 1), ran.result.error
    assert ran.result.steps == {"vc_redist": "changed", "openssl": "changed"}


def test_a_host_that_does_not_come_back(host: RebootingHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.prepare(3010)
    host.comes_back = False
    monkeypatch.setattr("nbserver.run.host_run.RESTART_TIMEOUT", 20.0)
    ran = host.run("apply", "if-needed", STEPS)
    assert ran.result.outcome == "failed" and "refused the connection" in ran.result.error
    assert "waiting for win1 to restart" in ran.log


def test_a_restart_that_windows_refuses(host: RebootingHost) -> None:
    host.prepare(3010, 5)
    host.goes_down = False
    ran = host.run("apply", "if-needed", STEPS)
    assert ran.result.outcome == "failed" and "shutdown.exe exited with code 5" in ran.result.error
    assert guard_is_up(host.small) and host.small.windows.path(SETUP).exists()


def test_a_restart_that_is_scheduled_already(host: RebootingHost) -> None:
    """For when, nobody knows: that is for a person. One that has begun is as good as our own."""
    host.prepare(3010, 1190)
    host.goes_down = False
    ran = host.run("apply", "if-needed", STEPS)
    assert (
        ran.result.outcome == "failed"
        and "is already scheduled. Wait for it, or cancel it with shutdown /a, then try again" in ran.result.error
    )
    host.prepare(3010, 1115)
    host.goes_down = True
    ran = host.run("apply", "if-needed", STEPS)
    assert (ran.result.outcome, host.restarts) == ("ok", 1), ran.result.error


def test_ctrl_c_while_it_restarts(host: RebootingHost) -> None:
    host.prepare(3010)
    host.comes_back = False
    stop = threading.Event()
    threading.Thread(target=lambda: (wait_for_call(host), stop.set()), daemon=True).start()
    ran = host.run("apply", "if-needed", STEPS, stop)
    assert ran.result.outcome == "stopped"


def wait_for_call(host: RebootingHost) -> None:
    end = time.monotonic() + 60
    while not host.restarts and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)


@pytest.mark.parametrize("reboot", ["never", "if-needed"])
def test_by_hand_the_exit_code_says_so(host: RebootingHost, reboot: str) -> None:
    """The script itself, without an orchestrator: nobody would come back, so Windows is not restarted either."""
    host.prepare(3010)
    folder, windows = host.small.folder, host.small.windows
    text = small_script("win1", {name: STEP_FILES[name] for name in STEPS}, reboot=reboot).text
    (folder / "by-hand.ps1").write_text(text, encoding="ascii")
    stand_ins = TESTS / "boxes" / "stand_ins" / "start.ps1"
    lines = [f". '{windows_path(stand_ins)}'", f"& '{windows_path(folder / 'by-hand.ps1')}' -Mode apply", '"exit code $LASTEXITCODE"', ""]
    (folder / "wrapper.ps1").write_text("\n".join(lines), encoding="ascii")
    done = subprocess.run(
        [pwsh_command(), "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", windows_path(folder / "wrapper.ps1")],
        env=environment(windows.prefix),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "exit code 3010", done.stdout + done.stderr
    assert not host.calls("shutdown.exe")
    assert ("a script that you run by hand does not restart it" in done.stdout) is (reboot == "if-needed")
