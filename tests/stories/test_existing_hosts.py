"""Hosts that have had a notebook server before: plan explains, apply refuses or takes over, undo puts everything back.

The whole script runs on the real engine. The server that it installs is a small one of the tests, in a wheel named
notebook: what is looked at here is what was there before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ENVIRONMENT
from tests.boxes.windows import WindowsBox
from tests.faults.small_packages import put_notebook, put_uv
from tests.hand_made import LEFT, PATH, PROFILE, PYTHON, HandMade
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps
from tests.tier import FULL, points

EVIDENCE = (
    "ProgramData/nbserver",
    "ProgramData/nbserver/runs",
    "ProgramData/nbserver/runs/*",
    "ProgramData/nbserver/lock",
    "ProgramData/nbserver/record.jsonl",
)
OWN = ("ProgramData/nbserver/work/*", "ProgramData/nbserver/cache/*")  # what a server itself writes, and downloads


class Existing:
    """A site whose host has a past; `want` chooses what an upgrade is about."""

    def __init__(self, site: Site, host: WindowsBox, index: Path, url: str) -> None:
        self.site, self.host, self.url = site, host, url
        self.lines = {version: put_notebook(index, version) for version in ("1.0", "2.0", "3.0")}
        self.uv = put_uv(index, site.mirror)

    def want(self, notebook: str = "1.0", python: str = "3.11.9", **settings: Any) -> None:
        lock, catalog = self.site.folder / "site.lock.txt", self.site.folder / "site-catalog.toml"
        lock.write_text(f"{self.lines[notebook]}\n{self.uv}\n", encoding="utf-8")
        self.site.mirror.write_catalog(catalog, changes={"python": {"version": python}})
        text = catalog.read_text(encoding="utf-8")
        catalog.write_text(
            text[: text.index("[[lock]]")] + '[[lock]]\npython = "3.11"\narchitecture = "x64"\nfile = "site.lock.txt"\n', encoding="utf-8"
        )
        self.site.write(packages__index_url=self.url, python__version=python, **settings)

    def run(self, command: str, code: int) -> tuple[str, list[dict[str, Any]]]:
        """(what was said, events)"""
        done: subprocess.CompletedProcess[str] = self.site.run(command, "win1")
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        return said, self.site.last_events()

    def snapshot(self, *except_: str) -> dict[str, Any]:
        """The host without the evidence of runs, and without the access lists below the folder that has it."""
        found = self.host.snapshot(except_=(*EVIDENCE, *except_))
        found["acl"] = {path: sddl for path, sddl in found["acl"].items() if not path.startswith(r"C:\ProgramData\nbserver")}
        return found

    def kinds(self) -> list[str]:
        """What kind of thing each folder of the programs has."""
        names = [path.name.split("-")[0] for path in self.host.path(r"C:\Program Files\nbserver").iterdir()]
        return sorted(name for name in names if name != "openssl")

    def path(self) -> str:
        return self.host.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"].removeprefix("REG_EXPAND_SZ:")


@pytest.fixture(scope="module")
def existing(windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Existing]:
    mirror.behave()
    folder = tmp_path_factory.mktemp("existing")
    endpoint_of = {"auth": ["basic", "negotiate"], "https": True, "password": "Tr0ub4dor", "one_process": not FULL}
    with windows_host.endpoint(**endpoint_of) as endpoint, served(folder / "index") as url:
        site = Site(folder, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
        yield Existing(site, windows_host, folder / "index", url)


@pytest.fixture
def hand_made(existing: Existing) -> Iterator[HandMade]:
    made = HandMade(existing.host, existing.site.port)
    yield made
    existing.want()
    existing.site.run("undo", "win1")
    made.remove()


def said_by(events: list[dict[str, Any]], step: str, event: str) -> list[dict[str, Any]]:
    return [item for item in events if item["step"] == step and item["event"] == event]


def warnings(events: list[dict[str, Any]]) -> list[str]:
    return [item["text"] for item in events if item["event"] == "warning"]


def test_a_server_that_was_set_up_by_hand(existing: Existing, hand_made: HandMade) -> None:
    """The tutorial's: a service made with NSSM, a rule, PATH entries, a profile. Told, refused, taken over, upgraded, put back."""
    port = existing.site.port
    hand_made.service("IPythonNotebook")
    hand_made.rule("{6D2F0F38-6BB1-4C5A-9A3B-2E4BB4A6C1D7}", [str(port)])
    hand_made.rule("Many-In-TCP", [str(port), "80"])
    hand_made.rule("Other-In-TCP", ["80"])
    hand_made.rule("Off-In-TCP", [str(port)], Enabled="False")
    hand_made.rule("Block-In-TCP", [str(port)], Action="Block")
    hand_made.rule("Range-In-TCP", [f"{port - 1}-{port + 1}"])
    hand_made.path(PATH)
    hand_made.profile()
    before = existing.snapshot()
    assert before["running"] == ["service.IPythonNotebook"]

    # Without adopt: plan tells all, apply refuses and changes nothing.
    existing.want(python="3.11.8")
    _, events = existing.run("plan", 4)
    (taken,) = said_by(events, "takeover", "difference")
    assert taken["what"] == f"TCP port {port}" and taken["should"] == "free" and "service 'IPythonNotebook'" in taken["is"]
    assert {"python", "check"} <= set(steps(events, "difference")), "and what the other steps want too"
    told = warnings(events)
    assert [text for text in told if text.startswith(f"TCP port {port} is used by another program (python.exe, process ")]
    assert [
        text for text in told if text.startswith("nbserver apply will fail on this host: ") and "set adopt = true in the inventory" in text
    ]
    assert [text for text in told if '"IPython Notebook" ({6D2F0F38' in text and "let nbserver disable it" in text]
    assert len([text for text in told if " and other ports, " in text]) == 2
    assert [text for text in told if "before the nbserver entries" in text] == [
        f"{entry} comes before the nbserver entries in PATH, so Windows finds the programs in {entry} first. "
        "Set adopt = true in the inventory to remove this entry from PATH"
        for entry in (r"C:\Python27", r"C:\Python27\Scripts", r"C:\OpenSSL-Win64\bin")
    ]
    assert [text for text in told if text.startswith(PROFILE) and "copy them to" in text]
    assert len(told) == 9 and not any("Other-In" in text or "Off-In" in text or "Block-In" in text for text in told)
    assert existing.snapshot() == before

    said, events = existing.run("apply", 3)
    assert f"TCP port {port} is used by another program (python.exe, process " in said and "choose another notebook.port" in said
    assert "set adopt = true in the inventory" in said
    assert steps(events, "failed") == ["takeover"] and not steps(events, "changed")
    assert existing.snapshot() == before

    # With adopt: taken over, and nothing is left to do or to say.
    existing.want(python="3.11.8", adopt=True)
    _, events = existing.run("plan", 4)
    assert [item["what"].split(" (")[0] for item in said_by(events, "takeover", "difference")] == [
        f"TCP port {port}",
        'firewall rule "IPython Notebook"',
        "PATH",
        "PATH",
        "PATH",
    ]
    assert not [text for text in warnings(events) if "refuse" in text]
    assert existing.snapshot() == before
    _, events = existing.run("apply", 0)
    applied = existing.snapshot()
    order = [step for step in steps(events, "changed") if step in ("notebook", "takeover", "service")]
    assert order == ["notebook", "takeover", "service"], "the old server goes when the new one is ready"
    assert applied["running"] == ["nbserver"] and applied["services"]["IPythonNotebook"]["StartMode"] == "Disabled"
    assert {name for name in before["firewall"] if before["firewall"][name] != applied["firewall"][name]} == {
        "{6D2F0F38-6BB1-4C5A-9A3B-2E4BB4A6C1D7}"
    }
    assert applied["firewall"]["{6D2F0F38-6BB1-4C5A-9A3B-2E4BB4A6C1D7}"]["Enabled"] == "False"
    assert existing.path().startswith(LEFT + ";") and "nbserver" in existing.path()
    assert existing.host.path(PROFILE).is_dir() and existing.host.path(PYTHON).exists()
    _, events = existing.run("apply", 0)
    assert not steps(events, "changed") and existing.snapshot() == applied
    assert [text for text in warnings(events) if " and other ports, " not in text] == []

    # Another Python and another lock: the environment in use and its Python are kept, whether the upgrade fails or not.
    existing.want(notebook="2.0")
    _, events = existing.run("plan", 4)
    assert not said_by(events, "cleanup", "difference")
    existing.site.write(packages__index_url="http://127.0.0.1:9/", python__version="3.11.9")
    existing.run("apply", 3)
    failed = existing.snapshot()
    assert failed["running"] == ["nbserver"] and failed["tasks"]["nbserver"] == applied["tasks"]["nbserver"], "the old one goes on"
    existing.want(notebook="2.0")
    existing.run("apply", 0)
    assert existing.kinds() == ["env", "env", "python", "python"]
    existing.run("rollback", 0)
    back = existing.snapshot()
    assert back["running"] == ["nbserver"] and back["tasks"]["nbserver"] == applied["tasks"]["nbserver"]
    existing.run("rollback", 0)
    _, events = existing.run("apply", 0)
    assert not steps(events, "changed"), "the second rollback went forward again"

    # After one more lock, what is older than the previous environment goes, when the new server answers.
    existing.want(notebook="3.0")
    _, events = existing.run("plan", 4)
    gone = [item["what"].rpartition("\\")[2] for item in said_by(events, "cleanup", "difference")]
    assert [name.split("-")[0] for name in gone] == ["env", "python"] and gone[1] == "python-3.11.8"
    _, events = existing.run("apply", 0)
    assert steps(events, "changed")[-1] == "cleanup"
    assert existing.kinds() == ["env", "env", "python"] and not existing.host.path(rf"C:\Program Files\nbserver\{gone[0]}").exists()
    _, events = existing.run("apply", 0)
    assert not steps(events, "changed")

    existing.run("undo", 0)
    assert existing.snapshot() == before


def test_an_nbserver_whose_record_is_lost(existing: Existing, hand_made: HandMade) -> None:
    """Beside a scheduled task that was made by hand: its program holds the port that is wanted now."""
    existing.want()
    existing.run("apply", 0)
    record = existing.host.path(r"C:\ProgramData\nbserver\record.jsonl")
    kept = record.read_bytes()
    record.unlink()
    first, existing.site.settings["notebook.port"] = existing.site.port, free_port()
    hand_made.port = existing.site.settings["notebook.port"]
    hand_made.task("IPython Notebook")
    lost = existing.snapshot(*OWN)
    assert lost["running"] == ["IPython Notebook", "nbserver"]
    try:
        existing.want(notebook="2.0")
        _, events = existing.run("plan", 4)
        assert [item["what"] for item in said_by(events, "takeover", "difference")] == [
            "scheduled task nbserver",
            "firewall rule nbserver",
            r"C:\Program Files\nbserver",
            f"TCP port {hand_made.port}",
        ]
        said, events = existing.run("apply", 3)
        for words in (
            "the nbserver scheduled task is left over from an earlier installation, and this host has no record of it",
            "the nbserver firewall rule is left over from an earlier installation, and this host has no record of it",
            r"C:\Program Files\nbserver is left over from an earlier installation, and this host has no record of it",
            r"scheduled task '\IPython Notebook'",
            "adopt = true",
        ):
            assert words in said
        assert steps(events, "failed") == ["takeover"]
        assert existing.snapshot(*OWN) == lost

        existing.want(notebook="2.0", adopt=True)
        _, events = existing.run("apply", 0)
        assert [text for text in warnings(events) if "Undo will keep this folder" in text]
        applied = existing.snapshot(*OWN)
        assert applied["running"] == ["nbserver"] and "<Enabled>false<" in applied["tasks"]["IPython Notebook"]
        _, events = existing.run("apply", 0)
        assert not steps(events, "changed") and not warnings(events)
        assert existing.snapshot(*OWN) == applied

        existing.run("undo", 0)
        assert existing.snapshot(*OWN) == lost
    finally:
        existing.site.settings["notebook.port"] = first
        existing.want()
        existing.site.run("undo", "win1")
        record.write_bytes(kept)
        existing.run("undo", 0)


def test_a_program_that_nobody_runs_is_ended_with_a_warning(existing: Existing, hand_made: HandMade) -> None:
    """And one whose owner Windows does not tell is not, adopt or not."""
    listener = existing.host.path(rf"C:\nbserver-test\listeners\{existing.site.port}")
    hand_made.process()
    process = listener.read_text()
    listener.unlink()
    existing.want(adopt=True)
    said, _ = existing.run("apply", 3)
    assert ", which adopt = true cannot replace, then run nbserver apply again" in said
    said, _ = existing.run("plan", 4)
    assert "nbserver apply will fail on this host: " in said
    assert existing.host.scheduler.is_running("service.nobody")
    listener.write_text(process)
    _, events = existing.run("apply", 0)
    assert [text for text in warnings(events) if text.startswith(f"nbserver stopped python.exe (process {process}).")]
    assert not existing.host.scheduler.is_running("service.nobody")


@pytest.mark.parametrize("logon", points(["Password", "InteractiveTokenOrPassword"], "Password"))
def test_a_task_with_a_stored_password_is_not_taken(existing: Existing, hand_made: HandMade, logon: str) -> None:
    """Windows tells nobody that password, so undo could not register the task again."""
    hand_made.task("nbserver", logon)
    before = existing.snapshot()
    existing.want(adopt=True)
    _, events = existing.run("plan", 4)
    assert next(item["is"] for item in said_by(events, "takeover", "difference")) == "registered with a stored password"
    assert [text for text in warnings(events) if "stored password" in text]
    assert [
        text
        for text in warnings(events)
        if text.startswith("nbserver apply will fail on this host: ") and "scheduled task nbserver" in text
    ]
    said, events = existing.run("apply", 3)
    assert "Export and delete the task" in said and "which adopt = true cannot replace" in said
    assert not steps(events, "changed") and existing.snapshot() == before


def test_a_service_that_others_need_is_not_taken(existing: Existing, hand_made: HandMade) -> None:
    """Windows does not stop it while they run; that is found before it is disabled."""
    hand_made.service("IPythonNotebook")
    hand_made.dependent("Reports", "IPythonNotebook")
    hand_made.dependent("Mails", "Reports")
    before = existing.snapshot()
    existing.want(adopt=True)
    _, events = existing.run("plan", 4)
    assert [text for text in warnings(events) if "that other running services need: Reports, Mails" in text]
    assert [text for text in warnings(events) if text.startswith("nbserver apply will fail on this host: ")]
    said, events = existing.run("apply", 3)
    assert "that other running services need: Reports, Mails. Stop this service and the services that need it, or" in said
    assert not steps(events, "changed") and existing.snapshot() == before
    for name in ("Mails", "Reports"):
        hand_made.host.scheduler.stop(f"service.{name}")
    _, events = existing.run("plan", 4)
    assert not [text for text in warnings(events) if "refuse" in text], "those that do not run do not matter"
