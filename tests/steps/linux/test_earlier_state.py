"""What an earlier release left on a Debian is planned on, adopted, upgraded, and undone by this one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.run.envelope import Envelope
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.snapshot import Snapshot, differences
from tests.boxes.mirror import Mirror
from tests.checkout import TESTS
from tests.faults.small_packages import put_notebook, write_index
from tests.linux.small_lock import SmallSite
from tests.linux.story import EVIDENCE
from tests.served import served
from tests.site import steps
from tests.states import linux

STATE = TESTS / "states" / "0.1.0" / "linux"
STATE_FOLDER = "var/lib/nbserver/state"
RECORDED = {json.loads(line)["key"] for line in (STATE / "host" / STATE_FOLDER / "record.jsonl").read_text("utf-8").splitlines()}
ENVIRONMENT = "/opt/nbserver/env-7fefc45f"


class Earlier:
    """A Debian with the state of the earlier release; `before` is how it looked without it."""

    def __init__(self, host: LinuxBox, site: SmallSite, before: Snapshot, index: Path) -> None:
        self.host, self.site, self.before, self.index = host, site, before, index

    def want(self, version: str, login: int) -> None:
        """From now on with another small server."""
        lock = self.site.folder / "small.lock.txt"
        uv = next(line for line in lock.read_text("utf-8").splitlines() if line.startswith("uv=="))
        lock.write_text(f"{put_notebook(self.index, version, login)}\n{uv}\n", "utf-8")

    def run(self, command: str, code: int = 0) -> list[dict[str, Any]]:
        """The events of a run of this release."""
        done = self.site.run(command, "lin1")
        assert done.returncode == code, done.stdout + done.stderr
        return self.site.last_events()

    def record(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.host.root / STATE_FOLDER / "record.jsonl").read_text("utf-8").splitlines()]

    def lost(self) -> list[str]:
        """What is different from before, apart from the evidence of runs."""
        return [line for line in differences(self.before, self.host.snapshot()) if not EVIDENCE.match(line)]


@pytest.fixture(scope="module")
def prepared(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    """The host as it was before the earlier release came."""
    folder, index = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("index")
    with debian_host() as host, served(index) as url:
        linux.prepare(host)
        site = SmallSite(folder, host, linux_mirror, notebook_password="correct horse")
        (folder / "small.lock.txt").write_text("\n".join(write_index(index, linux_mirror)))
        site.settings.update({"packages.index_url": url, **linux.SETTINGS})
        site.write()
        yield Earlier(host, site, host.snapshot(), index)


@pytest.fixture
def earlier(prepared: Earlier) -> Earlier:
    linux.put(prepared.host, STATE)
    return prepared


def test_events_and_undo(earlier: Earlier, tmp_path: Path) -> None:
    """The workstation may be upgraded while a run of the earlier release is cut off: its events can still be requested."""
    (run,) = (STATE / "host" / STATE_FOLDER / "runs").iterdir()
    envelope = "".join(f"{line}\n" for line in Envelope("events", run.name, after=3).lines())
    earlier.site.run("render", "lin1", "-o", str(tmp_path))
    script = earlier.host.root / "root/lin1.sh"
    shutil.copy(tmp_path / "lin1.sh", script)
    sent = earlier.host.ssh("bash /root/lin1.sh envelope", text=envelope).stdout.splitlines()
    assert sent == (run / "events.jsonl").read_text("ascii").splitlines()[3:]
    script.unlink()

    events = earlier.run("undo")
    assert {event["what"] for event in events if event["event"] == "restored"} == RECORDED
    assert earlier.record() == []
    assert earlier.lost() == []


def test_plan_apply_and_undo(earlier: Earlier) -> None:
    events = earlier.run("plan", 4)
    differ = {event["what"] for event in events if event["event"] == "difference"}
    assert {"packages", ENVIRONMENT, "/etc/systemd/system/nbserver.service", "/etc/nbserver/serve.py"} <= differ
    assert not {"python", "openssl", "user", "firewall"} & set(steps(events, "difference")), "these are adopted as they are"

    events = earlier.run("apply")
    assert [event["what"] for event in events if event["event"] == "restored"] == [ENVIRONMENT], "the earlier environment is removed"
    assert earlier.host.ssh("systemctl is-active nbserver").stdout == "active\n"
    keys = [line["key"] for line in earlier.record()]
    assert len(keys) == len(set(keys)) and RECORDED - set(keys) == {ENVIRONMENT}

    unit = earlier.host.root / "etc/systemd/system/nbserver.service"
    before = unit.read_text("ascii")
    earlier.want("3.0", login=500)
    events = earlier.run("apply", 3)
    assert [event["code"] for event in events if event["event"] == "failed"] == ["login-broken", "upgrade-switched-back"]
    assert earlier.host.ssh("systemctl is-active nbserver").stdout == "active\n" and unit.read_text("ascii") == before
    earlier.want("2.0", login=401)
    earlier.run("apply")
    assert earlier.host.ssh("systemctl is-active nbserver").stdout == "active\n" and unit.read_text("ascii") != before
    assert len(list((earlier.host.root / "opt/nbserver").iterdir())) == 2, "the previous one is kept, and the one that failed is not"
    earlier.run("plan")

    earlier.run("undo")
    assert earlier.record() == []
    assert earlier.lost() == []
