"""What an earlier release left on a Windows host is planned on, adopted, upgraded, and undone by this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.task_scheduler import read_task
from tests.boxes.windows import WindowsBox
from tests.checkout import TESTS
from tests.faults.small_packages import put_notebook, use_lock, write_index
from tests.hand_made import HandMade
from tests.served import served
from tests.site import Site, steps
from tests.states import windows
from tests.windows_story import EVIDENCE

STATE = TESTS / "states" / "0.1.0" / "windows"
STATE_FOLDER = r"C:\ProgramData\nbserver"
RECORD = STATE_FOLDER + r"\record.jsonl"
INHERITED = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)"  # of a folder whose list was never set
PROGRAMS = r"C:\Program Files\nbserver"
ENVIRONMENT = PROGRAMS + r"\env-3.11.9-0b883692"


class Earlier:
    """A Windows host with the state of the earlier release; `before` is how it looked without it."""

    def __init__(self, made: HandMade, site: Site) -> None:
        self.made, self.host, self.site = made, made.host, site
        self.before = self.snapshot()

    def run(self, command: str, code: int = 0) -> list[dict[str, Any]]:
        """The events of a run of this release."""
        done = self.site.run(command, "win1")
        assert done.returncode == code, done.stdout + done.stderr
        return self.site.last_events()

    def want(self, version: str, login: int) -> None:
        """From now on with another small server."""
        lock = self.site.folder / "small.lock.txt"
        uv = next(line for line in lock.read_text("utf-8").splitlines() if line.startswith("uv=="))
        lock.write_text(f"{put_notebook(self.site.folder / 'index', version, login)}\n{uv}\n", "utf-8")

    def record(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.host.path(RECORD).read_text("utf-8").splitlines()]

    def task(self) -> tuple[list[str], str]:
        """What the task runs."""
        task = read_task(self.host.scheduler.tasks / "nbserver")
        return [action.command for action in task.actions], task.actions[0].arguments

    def lost(self) -> list[str]:
        """What is different from before."""
        after = self.snapshot()
        pairs = [(part, self.before[part], after[part]) for part in after]
        lines = [
            (part, key, was.get(key), now.get(key)) for part, was, now in pairs if isinstance(was, dict) for key in was.keys() | now.keys()
        ]
        lines.append(("running", "", self.before["running"], after["running"]))
        return [f"{part} {key}: {was} -> {now}" for part, key, was, now in lines if was != now]

    def snapshot(self) -> dict[str, Any]:
        """The host without the evidence of runs, the lists of inherited access, and what a task's XML has for line endings."""
        found = self.host.snapshot(except_=EVIDENCE)
        found["acl"] = {path: sddl for path, sddl in found["acl"].items() if not path.startswith(STATE_FOLDER) and sddl != INHERITED}
        found["tasks"] = {name: text.replace("\r\n", "\n") for name, text in found["tasks"].items()}
        return found


@pytest.fixture(scope="module")
def prepared(windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    """The host as it was before the earlier release came."""
    mirror.behave()
    folder = tmp_path_factory.mktemp("earlier")
    with (
        windows.prepared(windows_host) as made,
        windows_host.endpoint(auth=["basic", "negotiate"], https=True, password="Tr0ub4dor", one_process=True) as endpoint,
        served(folder / "index") as url,
    ):
        site = Site(folder, endpoint, mirror, port=windows.PORT, windows_password="Tr0ub4dor", notebook_password="correct horse")
        use_lock(folder, mirror, write_index(folder / "index", mirror))
        site.settings.update({"packages.index_url": url, "adopt": True, **windows.SETTINGS})
        site.write()
        yield Earlier(made, site)


@pytest.fixture
def earlier(prepared: Earlier) -> Earlier:
    windows.put(prepared.made, STATE)
    assert "past" in {line["step"] for line in prepared.record()}, "a step that has another name by now"
    return prepared


def things(record: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["kind"], line["key"]) for line in record]


def test_undo(earlier: Earlier) -> None:
    lines = {(line["step"], line["kind"], line["key"]) for line in earlier.record()}
    events = earlier.run("undo")
    assert {(event["step"], event["kind"], event["what"]) for event in events if event["event"] == "restored"} == lines
    assert earlier.record() == []
    assert earlier.lost() == []


def test_plan_apply_and_undo(earlier: Earlier) -> None:
    lines = things(earlier.record())
    events = earlier.run("plan", 4)
    differ = {event["what"] for event in events if event["event"] == "difference"}
    assert {"packages", "OpenSSL", ENVIRONMENT} <= differ
    assert "Python" not in differ and "firewall" not in steps(events, "difference"), "these are adopted as they are"

    events = earlier.run("apply")
    gone = {(event["kind"], event["what"]) for event in events if event["event"] == "restored"}
    assert ("folder", ENVIRONMENT) in gone, "the earlier environment is removed"
    assert earlier.host.scheduler.is_running("nbserver")
    kept = things(earlier.record())
    assert len(kept) == len(set(kept)) and not gone & set(kept) and set(lines) - gone <= set(kept)

    before = earlier.task(), sorted(path.name for path in earlier.host.path(PROGRAMS).iterdir())
    earlier.want("3.0", login=500)
    events = earlier.run("apply", 3)
    assert [event["code"] for event in events if event["event"] == "failed"] == ["login-broken", "upgrade-switched-back"]
    assert earlier.host.scheduler.is_running("nbserver") and earlier.task() == before[0]
    earlier.want("2.0", login=401)
    earlier.run("apply")
    assert earlier.host.scheduler.is_running("nbserver") and earlier.task() != before[0]
    environments = [path.name for path in earlier.host.path(PROGRAMS).iterdir() if path.name.startswith("env-")]
    assert len(environments) == 2 and set(environments) & set(before[1]), "the previous one is kept, and the one that failed is not"
    earlier.run("plan")

    earlier.run("undo")
    assert earlier.record() == []
    assert earlier.lost() == []
