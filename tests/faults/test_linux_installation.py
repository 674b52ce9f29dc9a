"""The full installation over SSH is cut off while apt, zypper and uv work: they finish, the run is joined again, and undo restores.

Once with the wheels of the shipped lock; elsewhere two small ones are enough.
apt is held between unpacking and configuring by a hook of dpkg, zypper by a package whose script sleeps.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.snapshot import differences
from tests.boxes.mirror import Mirror
from tests.faults.small_packages import write_index
from tests.linux.small_lock import SmallSite
from tests.linux.story import EVIDENCE
from tests.served import served
from tests.site import LinuxSite, steps

Fresh = Callable[[], LinuxBox]
TOO_LONG = 300.0  # seconds, on a machine that has much else to do
QUIET = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
HOLD = "root/hold-dpkg"
HOOK = f"""\
pre-invoke=if [ "$DPKG_HOOK_ACTION" = configure ] && [ -e /{HOLD} ]; then echo >/{HOLD}/held; while [ -e /{HOLD} ]; do sleep 0.1; done; fi
"""
VENV = "python3-venv"  # what apt has to install


class Installation:
    """One host that is installed on and undone; `before` is how it looked at first."""

    def __init__(self, host: LinuxBox, mirror: Mirror, index: tuple[str, list[str]], folder: Path) -> None:
        self.host, self.line = host, host.forward(22)
        self.full = LinuxSite(folder, host, mirror, notebook_password="correct horse")
        self.small = SmallSite(folder, host, mirror, notebook_password="correct horse")
        (folder / "small.lock.txt").write_text("\n".join(index[1]))
        self.small.settings["packages.index_url"] = index[0]
        self.before = host.snapshot()
        self.use(self.small)

    def use(self, site: LinuxSite) -> None:
        """From now on, with the wheels of this site."""
        self.site = site
        site.write()

    def start(self) -> tuple[subprocess.Popen[str], Path]:
        """An apply; its process and its run."""
        known = set(self.site.runs())
        process = self.site.start("apply", "lin1", "--json")
        self.wait(lambda: bool(set(self.site.runs()) - known), process)
        (run,) = set(self.site.runs()) - known
        return process, run

    def cut(self, run: Path, process: subprocess.Popen[str]) -> None:
        """Returns when another connection was made."""
        carried = self.line.carried
        self.line.cut()
        self.wait(lambda: self.line.carried > carried, process)
        assert "Requesting the events after" in (run / "lin1" / "log.txt").read_text("utf-8")

    def wait(self, true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + TOO_LONG
        while not true():
            assert process.poll() is None, f"it ended before: {process.communicate()}"
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.05)

    def is_said(self, run: Path, event: str, **data: str) -> Callable[[], bool]:
        return lambda: any(said["event"] == event and data.items() <= said.items() for said in self.site.events(run))

    def lock(self) -> str:
        return (self.host.root / "var/lib/nbserver/state/lock").read_text("ascii")

    def kept(self, run: Path) -> list[str]:
        """The lines of a run as the host has them."""
        return (self.host.root / "var/lib/nbserver/state/runs" / run.name / "events.jsonl").read_text("ascii").splitlines()

    def whole(self, run: Path) -> list[dict[str, Any]]:
        """The run was heard once and whole, and did each of its steps once. Its events."""
        events = self.site.events(run)
        assert [event["n"] for event in events] == list(range(1, len(events) + 1))
        assert (run / "lin1" / "events.jsonl").read_text("utf-8").splitlines() == self.kept(run)
        assert (events[-1]["event"], events[-1]["outcome"]) == ("finished", "ok")
        for event in ("started", "changed"):
            done = steps(events, event)
            assert len(done) == len(set(done)), event
        return events

    def converged(self) -> None:
        """Nothing is left to do, and undo restores what was there."""
        done = self.site.run("plan", "lin1")
        assert done.returncode == 0, done.stdout + done.stderr
        done = self.site.run("undo", "lin1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in differences(self.before, self.host.snapshot()) if not EVIDENCE.match(line)] == []


@pytest.fixture(scope="module")
def index(linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """An index with uv and a small notebook; its address and its lock."""
    folder = tmp_path_factory.mktemp("index")
    lines = write_index(folder, linux_mirror)
    with served(folder) as url:
        yield url, lines


@pytest.fixture(scope="module")
def debian(debian_host: Fresh, linux_mirror: Mirror, index: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Debian 12 without venv."""
    with debian_host() as host:
        (host.root / "etc/dpkg/dpkg.cfg.d/hold").write_text(HOOK)
        host.ssh(f"{QUIET} update && {QUIET} purge --autoremove {VENV}")
        yield Installation(host, linux_mirror, index, tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="module")
def suse(suse_host: Fresh, linux_mirror: Mirror, index: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The openSUSE-like host with a python311 that takes five seconds more to install."""
    with suse_host() as host:
        host.ssh("zypper --non-interactive addrepo --refresh dir:/srv/repositories/slow slow")
        yield Installation(host, linux_mirror, index, tmp_path_factory.mktemp("suse"))


def in_the_middle_of_apt(debian: Installation) -> tuple[subprocess.Popen[str], Path]:
    """An apply whose packages are unpacked and not configured."""
    (debian.host.root / HOLD).mkdir()
    process, run = debian.start()
    debian.wait((debian.host.root / HOLD / "held").exists, process)
    assert debian.host.ssh("dpkg-query -W -f '${db:Status-Abbrev}' python3-venv").stdout.strip() == "iU", "it is unpacked, not configured"
    return process, run


def go_on(debian: Installation) -> None:
    (debian.host.root / HOLD).rename(debian.host.root / "root/gone")
    debian.host.ssh("rm -r /root/gone")


def in_the_middle_of_zypper(suse: Installation) -> tuple[subprocess.Popen[str], Path]:
    """An apply whose package is installed, while its script sleeps."""
    process, run = suse.start()
    suse.wait(lambda: suse.host.ssh("pgrep -xf 'sleep 5'", check=False).returncode == 0, process)
    return process, run


def ended_well(installation: Installation, process: subprocess.Popen[str], run: Path) -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 0, out + err
    return installation.whole(run)


def test_connection_cut_in_the_middle_of_apt_and_of_uv(debian: Installation) -> None:
    """With the wheels of the shipped lock."""
    debian.use(debian.full)
    process, run = in_the_middle_of_apt(debian)
    debian.cut(run, process)
    go_on(debian)
    debian.wait(debian.is_said(run, "progress", what="Installing packages with uv"), process)
    debian.cut(run, process)
    events = ended_well(debian, process, run)
    said = [event["text"] for event in events if (event["step"], event["event"]) == ("python", "log")]
    assert any(line.startswith("Setting up python3-venv") for line in said), "apt's words behind the cut were kept too"
    assert debian.host.ssh("dpkg --audit").stdout == ""
    debian.converged()


def test_connection_cut_in_the_middle_of_zypper(suse: Installation) -> None:
    process, run = in_the_middle_of_zypper(suse)
    suse.cut(run, process)
    events = ended_well(suse, process, run)
    assert {"python", "openssl"} & set(steps(events, "changed"))
    assert suse.host.ssh("rpm -q --qf '%{VERSION}' python311").stdout == "3.11.11"
    suse.converged()


def killed(installation: Installation, process: subprocess.Popen[str], run: Path) -> None:
    """Nobody listens any more, and another run is refused meanwhile."""
    process.kill()
    process.communicate()
    refused = installation.site.run("apply", "lin1")
    assert refused.returncode == 3 and f"another run is changing this host: run {run.name}, mode apply" in refused.stdout, refused.stdout


def goes_on_alone(installation: Installation, run: Path) -> None:
    """The run ends well without its orchestrator; the next one finds nothing to do."""
    end = time.monotonic() + TOO_LONG
    while installation.lock():
        assert time.monotonic() < end, "it did not end"
        time.sleep(0.2)
    assert '"outcome":"ok"' in installation.kept(run)[-1]
    heard = (run / "lin1" / "events.jsonl").read_text("utf-8").splitlines()
    assert installation.kept(run)[: len(heard)] == heard
    again, run = installation.start()
    assert not steps(ended_well(installation, again, run), "changed")
    installation.converged()


def test_orchestrator_killed_in_the_middle_of_apt(debian: Installation) -> None:
    debian.use(debian.small)
    process, run = in_the_middle_of_apt(debian)
    killed(debian, process, run)
    go_on(debian)
    goes_on_alone(debian, run)
